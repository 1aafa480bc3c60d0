"""Put a banner into web pages on their way, unseen by both ends: python edit_response.py LEFT RIGHT.

The page gets longer, so the sequence numbers of all that follows are translated. Compressed pages, and those
whose head does not fit one segment, pass as they are.
"""

import re
import sys

import midsock as ms

BANNER = b"<p>This page came through a middlebox.</p>"
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)

stack = ms.Stack(sys.argv[1], sys.argv[2])
web = stack.socket(ms.MONITOR_STREAM, filter="tcp port 80")


@web.on(ms.ON_CONN_NEW_DATA.where(ms.payload.startswith(b"HTTP/1.1 200 ")), side=ms.SERVER)
def edit(sock: ms.FlowSocket, event: ms.Event) -> None:
    head, end, _ = (event.payload or b"").partition(b"\r\n\r\n")
    length = LENGTH.search(head)
    if end and length and b"text/html" in head and b"ontent-Encoding" not in head:
        body = len(head) + len(end)
        event.replace(BANNER, body, body)
        event.replace(str(int(length[1]) + len(BANNER)).encode(), *length.span(1))


stack.run()
