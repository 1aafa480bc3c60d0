"""HTTP/1 requests in a client's stream (RFC 9112): where they begin and end, and no more."""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import NamedTuple

_MAX_HEAD = 65_536
"""A request line with its headers, or a line of a chunked body, has at most as many bytes."""

# Bytes beyond ASCII occur in targets, though they should not.
_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}"
_REQUEST_LINE = re.compile(rb"(%b) ([!-~\x80-\xff]+) HTTP/1\.[01]\r?\n" % _TOKEN)
# What may still become a request line.
_REQUEST_START = re.compile(rb"%b(?: [!-~\x80-\xff]*(?: H?T?T?P?/?1?\.?[01]?\r?)?)?" % _TOKEN)
_HEAD_END = re.compile(rb"\n\r?\n")
_CONTENT_LENGTH = re.compile(rb"(?im)^content-length[ \t]*:[ \t]*(\d{1,18})[ \t]*\r?$")
_CHUNKED = re.compile(rb"(?im)^transfer-encoding[ \t]*:.*\bchunked[ \t]*\r?$")
_CHUNK_SIZE = re.compile(rb"[ \t]*([0-9A-Fa-f]{1,15})[ \t]*(?:;.*)?\r?\n")


class Request(NamedTuple):
    """A request that is complete, its body included."""

    method: str
    target: str


class _At(Enum):
    """Where in a request the stream is."""

    HEAD = auto()
    BODY = auto()
    CHUNK_SIZE = auto()
    CHUNK = auto()
    TRAILER = auto()
    LOST = auto()


class RequestParser:
    """Finds the requests in what a client sends, however it is cut into pieces.

    A request may span pieces, and a piece may hold several requests. What is not HTTP/1 is passed over:
    parsing goes on with the next piece that begins as a request does.
    """

    def __init__(self, *, midstream: bool = False) -> None:
        """Begin at the start of a stream or, with `midstream`, somewhere in it."""
        self._at = _At.LOST if midstream else _At.HEAD
        self._may_join_late = midstream
        self._rest = bytearray()
        self._left = 0  # bytes of the body or chunk that are still to come
        self._request = Request("", "")
        self._found = 0

    @property
    def is_hopeless(self) -> bool:
        """Whether this is not HTTP/1: it began with something else, and nothing was missed before."""
        return self._at is _At.LOST and not self._found and not self._may_join_late

    def feed(self, data: bytes) -> list[Request]:
        """Take the next bytes of the stream; give the requests that they complete."""
        if self._at is _At.LOST:
            if not _REQUEST_LINE.match(data):
                return []
            self._at = _At.HEAD
        self._rest += data
        done: list[Request] = []
        steps = {
            _At.HEAD: self._head,
            _At.BODY: self._body,
            _At.CHUNK_SIZE: self._chunk_size,
            _At.CHUNK: self._body,
            _At.TRAILER: self._trailer,
        }
        while self._rest and self._at is not _At.LOST and steps[self._at](done):
            pass
        self._found += len(done)
        return done

    def skip(self, length: int) -> list[Request]:
        """Take note of bytes that were never seen; give the request that ends with them."""
        self._may_join_late = True
        done: list[Request] = []
        if (self._at is _At.BODY and length <= self._left) or (self._at is _At.CHUNK and length < self._left):
            self._pass(length, done)
            self._found += len(done)
        else:
            self._lose()
        return done

    def _lose(self) -> bool:
        self._at = _At.LOST
        self._rest.clear()
        return False

    def _head(self, done: list[Request]) -> bool:
        # Empty lines before a request are ignored (RFC 9112, section 2.2).
        while self._rest.startswith((b"\r\n", b"\n")):
            del self._rest[: self._rest.index(b"\n") + 1]
        line = _REQUEST_LINE.match(self._rest)
        if not line:
            if not self._rest or self._rest == b"\r":
                return False
            may_become_one = len(self._rest) <= _MAX_HEAD and _REQUEST_START.fullmatch(self._rest)
            return False if may_become_one else self._lose()
        end = _HEAD_END.search(self._rest, line.end() - 1)
        if not end:
            return False if len(self._rest) <= _MAX_HEAD else self._lose()
        self._request = Request(line[1].decode(), line[2].decode("ascii", "backslashreplace"))
        headers = bytes(self._rest[line.end() : end.end()])
        del self._rest[: end.end()]
        if _CHUNKED.search(headers):
            self._at = _At.CHUNK_SIZE
            return True
        length = _CONTENT_LENGTH.search(headers)
        self._at, self._left = _At.BODY, int(length[1]) if length else 0
        if not self._left:
            self._pass(0, done)
        return True

    def _body(self, done: list[Request]) -> bool:
        here = min(self._left, len(self._rest))
        del self._rest[:here]
        self._pass(here, done)
        return True

    def _pass(self, length: int, done: list[Request]) -> None:
        self._left -= length
        if self._left:
            return
        if self._at is _At.CHUNK:
            self._at = _At.CHUNK_SIZE
        else:
            self._complete(done)

    def _chunk_size(self, _done: list[Request]) -> bool:
        if b"\n" not in self._rest:
            return False if len(self._rest) <= _MAX_HEAD else self._lose()
        line = _CHUNK_SIZE.match(self._rest)
        if not line:
            return self._lose()
        size = int(line[1], 16)
        del self._rest[: line.end()]
        self._at, self._left = (_At.CHUNK, size + len(b"\r\n")) if size else (_At.TRAILER, 0)
        return True

    def _trailer(self, done: list[Request]) -> bool:
        end = self._rest.find(b"\n")
        if end < 0:
            return False if len(self._rest) <= _MAX_HEAD else self._lose()
        is_last = not self._rest[:end].strip(b"\r")
        del self._rest[: end + 1]
        if is_last:
            self._complete(done)
        return True

    def _complete(self, done: list[Request]) -> None:
        done.append(self._request)
        self._at = _At.HEAD
