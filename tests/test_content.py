"""Different content: what repeats bytes and changes them, told with both, and put right between two ports."""

from __future__ import annotations

import midsock as ms
import pytest
from frames import ACK, PSH, Talk, checksum
from midsock import CLIENT, SERVER, Anomaly
from test_inline import Bridge

Row = tuple[ms.Side, int, bytes, bytes]


def conflicts(talk: Talk, **settings: object) -> list[Row]:
    stack = talk.stack()
    rows: list[Row] = []
    sock = stack.socket(**settings)  # type: ignore[arg-type]

    @sock.on(ms.ON_ANOMALY.where(ms.event.anomaly == Anomaly.DIFFERENT_CONTENT))
    def differs(_sock: ms.FlowSocket, event: ms.Event) -> None:
        assert event.anomaly is Anomaly.DIFFERENT_CONTENT
        assert event.length == len(event.data) == len(event.old_data)
        assert event["event.old_data"] == event.old_data
        assert "different_content" in repr(event)
        rows.append((event.side, event.offset, event.old_data, event.data))

    stack.run()
    return rows


def test_both_contents_are_told_of_bytes_that_were_delivered() -> None:
    talk = (
        Talk()
        .open()
        .client(b"GET /safe")
        .client(b"GET /evil", offset=0)
        .server(b"ok")
        .server(b"no", offset=0)
    )
    assert conflicts(talk) == []
    assert conflicts(talk, compare=100) == [
        (CLIENT, 0, b"GET /safe", b"GET /evil"),
        (SERVER, 0, b"ok", b"no"),
    ]
    # The server's answer acknowledged the request, but the request came twice before that.
    assert conflicts(talk, compare=0) == conflicts(talk, compare=100)


def test_both_contents_are_told_of_bytes_that_wait() -> None:
    talk = Talk().open().client(b"cdef", offset=2).client(b"cXef", offset=2).client(b"ab", offset=0)
    for settings in ({}, {"compare": 10}, {"overlap": "last"}):
        # Bytes are compared where somebody reads them.
        assert conflicts(talk, reassemble=True, **settings) == [(CLIENT, 2, b"cdef", b"cXef")]


def test_events_without_different_content_have_no_old_data() -> None:
    stack = Talk().open().client(b"x").stack()

    @stack.on(ms.ON_CONN_NEW_DATA)
    def data(_sock: ms.FlowSocket, event: ms.Event) -> None:
        with pytest.raises(AttributeError, match="old data"):
            _ = event.old_data
        assert event["event.old_data"] is None

    stack.run()


def test_columns_have_both_contents() -> None:
    talk = Talk().open().client(b"ab").client(b"aX", offset=0)
    stack = talk.stack()
    rows: list[tuple[bytes, bytes]] = []
    stack.socket(compare=10).on_batch(
        ms.ON_ANOMALY,
        lambda batch: rows.extend(
            zip(batch["event.old_data"].to_list(), batch["event.data"].to_list(), strict=True)
        ),
        columns=["event.old_data", "event.data"],
    )
    stack.run()
    assert rows == [(b"ab", b"aX")]


# --- between two ports ---


def payloads(frames: list[bytes]) -> list[bytes]:
    """Give the payloads of frames whose checksums have to be right."""
    found = []
    for frame in frames:
        segment = frame[34:]
        pseudo = frame[26:34] + bytes([0, 6]) + len(segment).to_bytes(2, "big")
        assert checksum(pseudo + segment) == 0
        found.append(segment[(segment[12] >> 4) * 4 :])
    return [payload for payload in found if payload]


def normalized(talk: Talk, **settings: object) -> tuple[list[bytes], int]:
    bridge = Bridge(talk.packets)
    bridge.stack.socket(**settings)  # type: ignore[arg-type]
    bridge.stack.run()
    return payloads(bridge.far.sent), bridge.stack.statistics()["normalized"]


def test_rejected_bytes_are_replaced_on_their_way() -> None:
    talk = Talk().open().client(b"abcd").client(b"aXcdefg", offset=0).client(b"Ycd", offset=1).send(SERVER)
    assert normalized(talk) == ([b"abcd", b"aXcdefg", b"Ycd"], 0)
    assert normalized(talk, normalize=True) == ([b"abcd", b"abcdefg", b"bcd"], 2)


@pytest.mark.parametrize(("overlap", "sent"), [("first", b"cdef"), ("last", b"cXef")])
def test_the_receivers_policy_says_which_bytes_are_rejected(overlap: str, sent: bytes) -> None:
    talk = Talk().open().client(b"cdef", offset=2).client(b"cXef", offset=2).client(b"ab", offset=0)
    expected = [b"cdef", sent, b"ab"], int(overlap == "first")
    assert normalized(talk, normalize=True, overlap=overlap) == expected


def test_what_is_the_same_passes_untouched() -> None:
    talk = (
        Talk()
        .open()
        .client(b"abcd")
        .client(b"abcd", offset=0)
        .send(CLIENT, ACK | PSH, b"efg", bad_checksum=False)
    )
    assert normalized(talk, normalize=True) == ([b"abcd", b"abcd", b"efg"], 0)
