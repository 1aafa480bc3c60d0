"""Hide the clients inside behind one address: python nat.py INSIDE OUTSIDE ADDRESS.

Each connection gets a port of its own from a pool while it lasts. What is not TCP passes as it is.
"""

import sys
from collections import deque

import midsock as ms

inside, outside, address = sys.argv[1:]
stack = ms.Stack(inside, outside)
pool = deque(range(40_000, 60_000))


@stack.on(ms.ON_CONN_START.where(ms.packet.port == 0), hook=ms.PRE_TCP)
def translate(sock: ms.FlowSocket, event: ms.Event) -> ms.Verdict:
    if not pool:
        return ms.DROP
    sock.user = pool.popleft()
    sock.translate(client=(address, sock.user))
    sock.on(ms.ON_CONN_END, release)
    print(f"{sock.client.ip} port {sock.client.port} is port {sock.user}", flush=True)
    return ms.FORWARD


def release(sock: ms.FlowSocket, event: ms.Event) -> None:
    # Last in line: a late packet of this connection must not meet the next one of its port.
    pool.append(sock.user)


stack.run()
