"""Reset web connections whose requests hold an attack, before it is whole: python ips.py LEFT RIGHT."""

import re
import sys

import midsock as ms

ATTACK = re.compile(rb"/etc/passwd|<script>")
LONGEST = 16  # no attack is longer, so this much is kept in case the next segment completes one

stack = ms.Stack(sys.argv[1], sys.argv[2])
web = stack.socket(ms.MONITOR_STREAM, filter="tcp port 80")


@web.on(ms.ON_CONN_NEW_DATA, side=ms.CLIENT)
def inspect(sock: ms.FlowSocket, event: ms.Event) -> ms.Verdict:
    # The stream, not the packet: an attack may come in pieces, and in any order.
    data = sock.client.peek()
    if found := ATTACK.search(data):
        print(f"reset: {sock.client.ip} sent {found[0].decode()}", flush=True)
        return ms.RESET
    sock.client.read(max(0, len(data) - LONGEST))
    return ms.FORWARD


stack.run()
