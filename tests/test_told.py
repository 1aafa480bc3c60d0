"""Conversations that raise anomalies, one each."""

from __future__ import annotations

import typing

import midsock as ms
import pytest
from frames import ACK, FIN, MILLISECOND, MSS_1460, PSH, RST, SYN, Talk, merge, timestamps, web
from midsock import CLIENT, SERVER

if typing.TYPE_CHECKING:
    from collections.abc import Callable

FAST_OPEN = bytes([34, 10]) + b"a cookie"


def damaged(talk: Talk, at: int, value: int) -> Talk:
    """Change a byte of the last frame."""
    time, frame = talk.packets[-1]
    talk.packets[-1] = (time, frame[:at] + bytes([value]) + frame[at + 1 :])
    return talk


def repeated(talk: Talk, times: int, again: Callable[[Talk, int], object]) -> Talk:
    """Do the same so many times."""
    for number in range(times):
        again(talk, number)
    return talk


def opened() -> Talk:
    """Give a conversation that has just been opened."""
    return Talk().open()


def answered() -> Talk:
    """Give one that waits for the end of the handshake."""
    return Talk().syn().synack()


def timed(*values: int) -> Talk:
    """Give a conversation whose client's segments have these timestamps after its SYN; 0 for none."""
    talk = Talk().send(CLIENT, SYN, seq=1_000, options=MSS_1460 + timestamps(100, 0))
    talk.send(SERVER, SYN | ACK, seq=5_000, options=MSS_1460 + timestamps(900, 100))
    talk.send(CLIENT, ACK, options=timestamps(200, 900))
    for value in values:
        talk.send(CLIENT, ACK | PSH, b"x", options=timestamps(value, 900) if value else b"")
    return talk


CASES: dict[str, Talk] = {
    "bad_checksum": opened().send(CLIENT, ACK, b"x", bad_checksum=True),
    "bad_ip_checksum": damaged(opened().client(b"x"), 24, 0),
    "bad_options": opened().send(CLIENT, ACK, options=bytes([2, 9, 0, 0])),
    "bad_flags": opened().send(CLIENT, SYN | FIN),
    "out_of_window": opened().client(b"x", offset=10_000_000),
    "invalid_ack": opened().send(CLIENT, ACK, ack=100_000_000),
    "ack_unseen": opened().send(CLIENT, ACK, ack=5_101),
    "no_ack": opened().send(CLIENT, PSH, b"x"),
    "inexact_rst": opened().send(CLIENT, RST, seq=1_006),
    "syn_on_live": opened().send(CLIENT, SYN, seq=9_999),
    "synack_wrong_ack": Talk().syn().send(SERVER, SYN | ACK, seq=5_000, ack=77),
    "synack_different_seq": answered().send(SERVER, SYN | ACK, seq=6_000, ack=1_001),
    "fin_moved": opened().client(b"abc").send(CLIENT, FIN | ACK).send(CLIENT, FIN | ACK, seq=1_001),
    "data_after_fin": opened().send(CLIENT, FIN | ACK).client(b"x", offset=0),
    "different_content": opened().client(b"abc", offset=3).client(b"xyz", offset=3),
    "bad_header": damaged(opened().client(b"x"), 46, 0x10),
    "syn_different_seq": Talk().syn().send(CLIENT, SYN, seq=2_000),
    "syn_wrong_direction": answered().send(SERVER, SYN, seq=5_000),
    "synack_wrong_direction": answered().send(CLIENT, SYN | ACK, seq=1_000),
    "synack_different_ack": answered().send(SERVER, SYN | ACK, seq=5_000, ack=1_000),
    "syn_with_data": Talk().send(CLIENT, SYN, b"x", seq=1_000),
    "fast_open_data_ignored": Talk().send(CLIENT, SYN, b"x", seq=1_000, options=FAST_OPEN).synack(),
    "simultaneous_open": Talk()
    .syn()
    .send(SERVER, SYN, seq=5_000)
    .send(CLIENT, SYN | ACK, seq=1_000)
    .send(SERVER, SYN | ACK, seq=5_000),
    "split_handshake": Talk()
    .syn()
    .send(SERVER, SYN, seq=5_000)
    .send(CLIENT, SYN | ACK, seq=1_000)
    .send(SERVER),
    "handshake_wrong_seq": answered().send(CLIENT, ACK, seq=900),
    "handshake_wrong_ack": answered().send(CLIENT, ACK, ack=77),
    "ack_wrong_direction": answered().send(SERVER),
    "data_before_established": Talk().syn().send(CLIENT, ACK, b"x", ack=0),
    "fin_before_established": Talk().syn().send(CLIENT, FIN | ACK, ack=0),
    "syn_flood": repeated(Talk().syn(), 30, lambda talk, i: talk.send(CLIENT, SYN, seq=2_000 + i)),
    "synack_flood": repeated(Talk().syn(), 30, lambda talk, _: talk.synack()),
    "fin_storm": repeated(opened(), 2_000, lambda talk, _: talk.send(CLIENT, FIN | ACK, seq=1_001)),
    "rst_storm": repeated(opened(), 2_000, lambda talk, i: talk.send(CLIENT, RST, seq=1_006 + i)),
    "ack_storm": repeated(
        opened(), 120, lambda talk, i: talk.send(CLIENT if i % 2 else SERVER, ACK, seq=10_000_000)
    ),
    "rst_with_data": opened().send(CLIENT, RST | ACK, b"why"),
    "suspected_rst_injection": opened().rst(CLIENT).client(b"x"),
    "after_reset": opened().rst(CLIENT).client(b"x"),
    "old_timestamp": timed(300, 50),
    "missing_timestamp": timed(300, 0),
    "ack_without_flag": Talk().send(CLIENT, SYN, seq=1_000, ack=None).send(CLIENT, SYN, seq=1_000, ack=9),
    "window_shrunk": opened().client(b"x").send(SERVER, window=60_000).send(SERVER, window=100),
    "bad_window_scale": Talk().send(CLIENT, SYN, seq=1_000, options=MSS_1460 + bytes([1, 3, 3, 15])),
    "urgent_data": opened().send(CLIENT, ACK | 32, b"x", urgent=1),
    "data_before_start": opened().send(CLIENT, ACK, b"abc", seq=990),
    "urgent_limit": repeated(opened(), 5_000, lambda talk, _: talk.send(CLIENT, ACK | 32, b"x", urgent=1)),
    "gap_without_ack": opened().client(b"x", lost=True).client(b"y").wait(60).send(SERVER, ack=1_001),
    "closed_incomplete": opened().client(b"x", lost=True).client(b"y").rst(SERVER),
    "one_sided": Talk().syn().send(CLIENT).client(b"x").client(b"y"),
    "synack_without_flow": Talk().synack(),
    "fin_without_flow": Talk().send(CLIENT, FIN | ACK),
    "rst_without_flow": Talk().rst(CLIENT),
}


@pytest.mark.parametrize("name", CASES)
def test_it_is_told(name: str) -> None:
    with ms.Stack(CASES[name].port(), midstream=True, checksum="verify") as stack:
        told: set[str] = set()
        stack.on(ms.ON_ANOMALY, lambda _sock, event: told.add(str(event.anomaly)))
        stack.socket(reassemble=True)
        records = list(stack.flows())
    # Of what comes after a flow's end, its record tells.
    assert name in told.union(*(record.anomalies for record in records))


def test_a_port_is_used_again() -> None:
    first = web()
    again = Talk(isns=(900_000, 800_000), now=first.now + MILLISECOND).open()
    with ms.Stack(ms.MemoryPort(merge(first, again))) as stack:
        stack.socket()
        records = list(stack.flows())
    assert sum("port_reuse" in record.anomalies for record in records) == 1


def test_what_is_sound_raises_nothing() -> None:
    with web().stack() as stack:
        stack.socket()
        (record,) = stack.flows()
    assert record.anomalies == {}
