"""Let TCP connections be opened from the inside only: python firewall.py INSIDE OUTSIDE.

INSIDE and OUTSIDE are ports such as af_packet:eth0; what is not TCP passes.
"""

import sys

import midsock as ms

stack = ms.Stack(sys.argv[1], sys.argv[2])
from_outside = ms.packet.port == 1


@stack.on(ms.ON_CONN_START.where(from_outside), hook=ms.PRE_TCP)
def refuse(sock: ms.FlowSocket, event: ms.Event) -> ms.Verdict:
    print(f"refused: {sock.client.ip} to port {sock.server.port} of {sock.server.ip}", flush=True)
    return ms.DROP_FLOW


# A packet of no connection: a scan, or the rest of a connection that is older than the firewall.
@stack.on(ms.ON_ORPHAN.where(from_outside))
def drop(_: object, event: ms.Event) -> ms.Verdict:
    return ms.DROP


stack.run()
