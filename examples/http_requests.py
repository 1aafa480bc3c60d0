"""Print the requests of every HTTP connection: python http_requests.py CAPTURE.

One object per flow, in the manner of asyncio's protocols.
"""

import sys

import midsock as ms
from midsock.web import RequestParser


class Requests(ms.Protocol):
    """Lists the requests of one connection."""

    def connection_made(self, sock: ms.FlowSocket) -> None:
        self.server = f"{sock.server.ip} port {sock.server.port}"
        self.parser = RequestParser(midstream=sock.midstream)
        sock.server.reassemble = False  # what servers send is of no interest here

    def data_received(self, side: ms.Side, data: bytes) -> None:
        for request in self.parser.feed(data):
            print(self.server, request.method, request.target)

    def gap_received(self, side: ms.Side, offset: int, length: int) -> None:
        self.parser.skip(length)


with ms.Stack(sys.argv[1]) as stack:
    stack.protocol(Requests)
    stack.run()
