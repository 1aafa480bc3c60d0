"""Look for suspicious uploads and probes in web traffic: python ids.py CAPTURE.

User-defined events run in Rust and nest: the costlier test runs only where the cheaper one fired.
"""

import sys

import midsock as ms

stack = ms.Stack(sys.argv[1])
web = stack.socket(ms.MONITOR_STREAM, filter="tcp portrange 80-8080")

request = ms.ON_CONN_NEW_DATA.where(ms.event.data.matches(rb"^(GET|POST|HEAD|PUT) "))
upload = request.where(ms.event.data.startswith(b"POST "))
scripted = upload.where(ms.event.data.contains(b"User-Agent: curl/"))
not_found = ms.ON_CONN_NEW_DATA.where(ms.event.data.startswith(b"HTTP/1.1 404 "))
uploads, scripted_uploads = web.count(upload, side=ms.CLIENT), web.count(scripted, side=ms.CLIENT)
suspects: set[str] = set()


@web.on(scripted, side=ms.CLIENT)
def watch(sock: ms.FlowSocket, event: ms.Event) -> None:
    if sock.user is None:
        sock.user = "watched"
        # A handler for this flow alone; all others cost nothing more.
        sock.on(ms.ON_CONN_END, report)


def report(sock: ms.FlowSocket, event: ms.Event) -> None:
    print(f"upload by a script: {sock.client.ip} sent {sock.client.bytes} bytes to {sock.server.ip}")


@web.on(not_found, side=ms.SERVER)
def probe(sock: ms.FlowSocket, event: ms.Event) -> None:
    if sock.client.ip not in suspects:
        suspects.add(sock.client.ip)
        print(f"probe for what is not there: {sock.client.ip} at {sock.server.ip}")
    sock.stop()  # one answer says enough: the flow's state is freed at once


stack.run()
print(f"{uploads.value} uploads, {scripted_uploads.value} of them by scripts; {len(suspects)} hosts probe")
