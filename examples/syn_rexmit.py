import sys

import midsock as ms

stack = ms.Stack(sys.argv[1])
syn_rexmit = ms.ON_REXMIT.where(ms.tcp.syn & ~ms.tcp.ack)  # a user-defined event, compiled


@stack.on(syn_rexmit, hook=ms.PRE_TCP)
def count(sock: ms.FlowSocket, event: ms.Event) -> None:
    stack.counters["syn_rexmit"] += 1


stack.run()
print(stack.counters["syn_rexmit"], "SYNs were sent again")
