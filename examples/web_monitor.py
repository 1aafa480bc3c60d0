"""Watch web traffic: python web_monitor.py CAPTURE.

Ongoing connections over time, and requests, bytes and retransmissions per server. `midsock monitor` does
the same and prints it more nicely.
"""

import sys
from collections import Counter

import midsock as ms
from midsock.web import RequestParser

stack = ms.Stack(sys.argv[1])
web = stack.socket(ms.MONITOR_STREAM, filter="tcp")
ongoing = 0
most_ongoing: Counter[int] = Counter()  # by second
requests: Counter[str] = Counter()  # these by server
sent: Counter[str] = Counter()
rexmits: Counter[str] = Counter()


def name(server: ms.Endpoint) -> str:
    return f"[{server.ip}]:{server.port}" if ":" in server.ip else f"{server.ip}:{server.port}"


@web.on(ms.ON_CONN_START)
def began(sock: ms.FlowSocket, event: ms.Event) -> None:
    global ongoing
    ongoing += 1
    most_ongoing[int(event.time)] = max(most_ongoing[int(event.time)], ongoing)
    sock.user = RequestParser()


@web.on(ms.ON_CONN_NEW_DATA, side=ms.CLIENT)
def data(sock: ms.FlowSocket, event: ms.Event) -> None:
    # A request may be cut into several pieces, and a piece may hold several requests.
    requests[name(sock.server)] += len(sock.user.feed(event.data))


@web.on(ms.ON_GAP, side=ms.CLIENT)
def gap(sock: ms.FlowSocket, event: ms.Event) -> None:
    requests[name(sock.server)] += len(sock.user.skip(event.length))


@web.on(ms.ON_CONN_END)
def ended(sock: ms.FlowSocket, event: ms.Event) -> None:
    global ongoing
    ongoing -= 1


# Records come when a flow takes in no more packets, so that the late ones are counted, too.
for flow in stack.flows():
    sent[flow.server] += sum(flow.bytes)
    rexmits[flow.server] += sum(sum(pair) for pair in flow.rexmit.values())

for second, most in sorted(most_ongoing.items()):
    print(f"+{second - min(most_ongoing):>3} s  {most:>5}  {'#' * most}")
print(f"{'server':<24} {'requests':>8} {'bytes':>10} {'rexmits':>8}")
for server, octets in sent.most_common():
    print(f"{server:<24} {requests[server]:>8} {octets:>10} {rexmits[server]:>8}")
