"""Show what each connection carries, every second while it lasts: python flow_rate.py LEFT [RIGHT]."""

import sys

import midsock as ms

stack = ms.Stack(*sys.argv[1:])


@stack.on(ms.ON_CONN_START)
def begin(sock: ms.FlowSocket, event: ms.Event) -> None:
    sock.user = 0
    sock.timer(1.0, report)


def report(sock: ms.FlowSocket, event: ms.Event) -> None:
    total = sock.client.bytes + sock.server.bytes
    megabits = (total - sock.user) * 8 / 1e6
    print(f"{sock.client.ip} port {sock.client.port}: {megabits:.1f} Mbit/s", flush=True)
    sock.user = total
    sock.timer(1.0, report)


stack.run()
