"""Mark web traffic as low priority and hide how far it came: python rewrite_headers.py LEFT RIGHT."""

import sys

import midsock as ms

LOW_PRIORITY = 8 << 2  # the class selector CS1 (RFC 2474) above the two bits of ECN

stack = ms.Stack(sys.argv[1], sys.argv[2])
web = stack.socket(ms.MONITOR_STREAM, filter="tcp port 80")


@web.on(ms.ON_PKT_IN)
def rewrite(sock: ms.FlowSocket, event: ms.Event) -> None:
    congestion = event[ms.ip.tos] & 0b11
    event.set(ms.ip.tos, LOW_PRIORITY | congestion)
    event.set(ms.ip.ttl, 64)


stack.run()
