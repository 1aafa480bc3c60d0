"""Stacks between two ports: verdicts, failure policies, resets and frames of the application's own."""

from __future__ import annotations

import array
import gc
import ipaddress
import logging
import weakref
from typing import TYPE_CHECKING, Any

import midsock as ms
import numpy as np
import pytest
from frames import ACK, RST, SYN, Peer, Talk, checksum, merge, tcp_frame, udp_frame, web
from midsock import CLIENT, SERVER

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Callable, Sequence

REQUEST, ANSWER = b"GET / HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n"


def split(talk: Talk, *, burst: int = 256) -> tuple[ms.MemoryPort, ms.MemoryPort]:
    """Give a port of what the client sent, and one of what the server sent."""
    is_clients = [frame[6:12] == bytes.fromhex("020000000001") for _, frame in talk.packets]
    pairs = list(zip(talk.packets, is_clients, strict=True))
    return (
        ms.MemoryPort([packet for packet, client in pairs if client], burst=burst),
        ms.MemoryPort([packet for packet, client in pairs if not client], burst=burst),
    )


class Bridge:
    """A stack between a port that receives everything and one that receives nothing."""

    def __init__(self, packets: Sequence[tuple[int, bytes]], *, burst: int = 256, **options: Any) -> None:  # noqa: ANN401
        self.frames = [frame for _, frame in packets]
        self.near, self.far = ms.MemoryPort(packets, burst=burst), ms.MemoryPort([])
        self.stack = ms.Stack(self.near, self.far, **options)

    def dropped(self) -> list[int]:
        """Give the places of the frames that were not forwarded."""
        sent = self.far.sent
        missing = [place for place, frame in enumerate(self.frames) if frame not in sent]
        assert [frame for frame in self.frames if frame in sent] == sent
        return missing


def flags_of(frame: bytes) -> int:
    return frame[47]


# --- forwarding ---


def test_what_nobody_touches_passes_unchanged_in_order_and_both_ways() -> None:
    talk = web()
    client, server = split(talk)
    stack = ms.Stack(client, server)
    seen: list[bytes] = []
    stack.on(ms.ON_CONN_NEW_DATA, lambda sock, event: seen.append(event.data))
    assert stack.run()
    everything = [frame for _, frame in talk.packets]
    assert [frame for frame in everything if frame in server.sent] == server.sent
    assert [frame for frame in everything if frame in client.sent] == client.sent
    assert len(server.sent) + len(client.sent) == len(everything)
    assert seen == [REQUEST, ANSWER]


def test_what_is_no_tcp_passes() -> None:
    odd = [bytes(14), b"\1", bytes(12) + b"\x08\x06" + bytes(28), udp_frame(), udp_frame(bytes(8000))]
    bridge = Bridge([(place, frame) for place, frame in enumerate(odd)])
    bridge.stack.run()
    assert bridge.far.sent == odd


def test_without_a_verdict_packets_pass() -> None:
    bridge = Bridge(web().packets)
    for hook in (ms.PRE_TCP, ms.POST_SND, ms.POST_TCP):
        bridge.stack.on(ms.ON_PKT_IN, lambda sock, event: None, hook=hook)
    bridge.stack.on(ms.ON_PKT_IN, lambda sock, event: ms.FORWARD)
    bridge.stack.run()
    assert bridge.dropped() == []
    statistics = bridge.stack.statistics()
    assert (statistics["forwarded"], statistics["dropped_by_verdict"]) == (8, 0)


def test_statistics_are_kept_for_each_port() -> None:
    bridge = Bridge(web().packets)
    bridge.stack.run()
    size = sum(map(len, bridge.frames))
    near, far = bridge.stack.statistics()["ports"]
    assert (near["name"], near["received"], near["received_bytes"], near["sent"]) == ("memory", 8, size, 0)
    assert (far["received"], far["sent"], far["sent_bytes"], far["send_failures"]) == (0, 8, size, 0)
    assert (bridge.stack.source, bridge.stack.sink, bridge.stack.live) == ("memory", "memory", False)
    assert repr(bridge.stack) == '<midsock.Stack "memory", "memory" flows=0 packets=8>'


# --- verdicts of handlers ---


@pytest.mark.parametrize("hook", list(ms.Hook))
@pytest.mark.parametrize("burst", [1, 3, 256])
def test_drop_drops_the_packet_at_hand(hook: ms.Hook, burst: int) -> None:
    bridge = Bridge(web().packets, burst=burst)
    bridge.stack.on(
        ms.ON_PKT_IN, lambda sock, event: ms.DROP if event[ms.tcp.length] else ms.FORWARD, hook=hook
    )
    bridge.stack.run()
    assert bridge.dropped() == [3, 4]
    assert bridge.stack.statistics()["dropped_by_verdict"] == 2


@pytest.mark.parametrize("burst", [1, 256])
def test_drop_flow_drops_the_rest_of_that_flow_alone(burst: int) -> None:
    talks = [web(number=0), Talk(client_port=1).open().client(REQUEST).close()]
    bridge = Bridge(merge(*talks), burst=burst)
    ended: list[ms.EndReason] = []
    bridge.stack.on(ms.ON_CONN_END, lambda sock, event: ended.append(event.reason))
    web_only = bridge.stack.socket(filter="tcp src port 40000")
    web_only.on(ms.ON_CONN_NEW_DATA, lambda sock, event: ms.DROP_FLOW)
    bridge.stack.run()
    gone = [frame for _, frame in talks[0].packets[3:]]
    assert [bridge.frames[place] for place in bridge.dropped()] == gone
    assert sorted(ended) == [ms.EndReason.CLOSED, ms.EndReason.STOPPED]


@pytest.mark.parametrize("burst", [1, 256])
def test_reset_sends_both_ends_a_rst(burst: int) -> None:
    client, server = split(web(), burst=burst)
    stack = ms.Stack(client, server)
    reasons: list[ms.EndReason] = []
    stack.on(ms.ON_CONN_NEW_DATA, lambda sock, event: ms.RESET, side=CLIENT)
    stack.on(ms.ON_CONN_END, lambda sock, event: reasons.append(event.reason))
    stack.run()
    assert [flags_of(frame) for frame in server.sent[:3]] == [SYN, ACK, server.sent[2][47]]
    assert flags_of(server.sent[2]) & RST
    assert flags_of(client.sent[0]) == SYN | ACK
    assert flags_of(client.sent[1]) & RST
    assert not any(REQUEST in frame for frame in server.sent)
    assert reasons == [ms.EndReason.RESET]
    assert stack.statistics()["resets"] == 1


def test_the_strongest_verdict_wins() -> None:
    for verdicts in ([ms.DROP, ms.FORWARD], [ms.FORWARD, ms.DROP, None]):
        bridge = Bridge(web().packets)
        for verdict in verdicts:
            bridge.stack.on(ms.ON_CONN_NEW_DATA, lambda sock, event, it=verdict: it)
        bridge.stack.run()
        assert bridge.dropped() == [3, 4]


def test_a_raw_socket_decides_on_any_packet() -> None:
    packets = [*web().packets, (web().packets[-1][0], udp_frame())]
    bridge = Bridge(packets)
    raw = bridge.stack.socket(ms.MONITOR_RAW, filter="udp")
    raw.on(ms.ON_PKT_IN, lambda sock, event: ms.DROP)
    bridge.stack.run()
    assert bridge.dropped() == [8]


def test_a_verdict_on_a_flow_needs_one() -> None:
    bridge = Bridge([(0, udp_frame())])
    raw = bridge.stack.socket(ms.MONITOR_RAW)
    raw.on(ms.ON_PKT_IN, lambda sock, event: ms.RESET)
    with pytest.raises(RuntimeError, match="a packet without a flow"):
        bridge.stack.run()


@pytest.mark.parametrize("answer", [1, True, "drop", b"", ms.CLIENT, ms.Verdict])
def test_any_other_answer_is_a_type_error_that_names_the_flow(answer: object) -> None:
    bridge = Bridge(web().packets)
    bridge.stack.on(ms.ON_CONN_NEW_DATA, lambda sock, event: answer)
    with pytest.raises(TypeError, match=r"a midsock.Verdict, such as midsock.DROP, or None") as caught:
        bridge.stack.run()
    assert "10.0.0.1:40000" in caught.value.__notes__[0]


def test_with_one_port_answers_are_not_looked_at() -> None:
    stack = web().stack()
    stack.on(ms.ON_PKT_IN, lambda sock, event: ms.DROP_FLOW)
    stack.on(ms.ON_CONN_NEW_DATA, lambda sock, event: "anything")
    stack.on_batch(ms.ON_PKT_IN, lambda batch: 17)
    stack.run()
    assert stack.statistics()["dropped_by_verdict"] == 0


def test_what_a_timer_returns_finds_no_packet() -> None:
    bridge = Bridge(web().packets)
    bridge.stack.on(
        ms.ON_CONN_START, lambda sock, event: sock.timer(0.001, lambda sock, event: ms.DROP) and None
    )
    with pytest.raises(RuntimeError, match="no packet at hand"):
        bridge.stack.run()


def test_iterators_leave_packets_alone() -> None:
    bridge = Bridge(web().packets)
    assert len(list(bridge.stack.events(ms.ON_PKT_IN))) == 8
    assert bridge.dropped() == []


# --- verdicts on batches ---

ARRAYS: dict[str, Callable[[list[int]], object]] = {
    "list": list,
    "tuple": tuple,
    "members": lambda it: [ms.Verdict(number) for number in it],
    "bytes": bytes,
    "bytearray": bytearray,
    "memoryview": lambda it: memoryview(bytes(it)),
    "array": lambda it: array.array("i", it),
    "uint8": lambda it: np.array(it, dtype=np.uint8),
    "int64": lambda it: np.array(it, dtype=np.int64),
    "strided": lambda it: np.repeat(np.array(it, dtype=np.int16), 2)[::2],
    "objects": lambda it: np.array(it, dtype=object),
}


@pytest.mark.parametrize("form", ARRAYS)
def test_a_batch_has_a_verdict_for_each_row(form: str) -> None:
    bridge = Bridge(web().packets)

    @bridge.stack.on_batch(ms.ON_PKT_IN, columns=[ms.tcp.length])
    def decide(batch: ms.Batch) -> object:
        return ARRAYS[form]([int(ms.DROP) if length else 0 for length in batch["tcp.length"]])

    bridge.stack.run()
    assert bridge.dropped() == [3, 4]


def test_one_verdict_is_for_all_rows() -> None:
    bridge = Bridge(web().packets)
    bridge.stack.on_batch(ms.ON_CONN_NEW_DATA, lambda batch: ms.DROP)
    bridge.stack.run()
    assert bridge.dropped() == [3, 4]


def test_a_verdict_of_numpy_drops_flows() -> None:
    talks = [web(number=number) for number in range(4)]
    bridge = Bridge(merge(*talks))

    @bridge.stack.on_batch(ms.ON_CONN_START, columns=[ms.client.port])
    def decide(batch: ms.Batch) -> object:
        return np.where(np.asarray(batch["client.port"]) % 2 == 0, ms.DROP_FLOW, ms.FORWARD)

    bridge.stack.run()
    gone = {frame for number in (0, 2) for _, frame in talks[number].packets}
    assert {bridge.frames[place] for place in bridge.dropped()} == gone


@pytest.mark.parametrize(
    ("answer", "error", "text"),
    [
        ([0], ValueError, "1 verdicts for a batch of 8 rows"),
        ([0] * 9, ValueError, "9 verdicts for a batch of 8 rows"),
        ([0] * 7 + [4], ValueError, "what row 7 has is no verdict"),
        (np.full(8, -1), ValueError, "what row 0 has is no verdict"),
        ([10**30] * 8, TypeError, "one for each"),
        (np.zeros(8), TypeError, "one for each"),
        (np.zeros(8, dtype=bool), TypeError, "one for each"),
        ([True] * 8, TypeError, "not flags"),
        ("00000000", TypeError, "one for each"),
        (1, TypeError, "one for each"),
        (np.zeros((8, 1), dtype=int), TypeError, "one for each"),
    ],
)
def test_other_answers_of_batches_are_errors(answer: object, error: type[Exception], text: str) -> None:
    bridge = Bridge(web().packets)
    bridge.stack.on_batch(ms.ON_PKT_IN, lambda batch: answer)
    with pytest.raises(error, match=text) as caught:
        bridge.stack.run()
    assert "8 rows of" in caught.value.__notes__[0]


def test_verdicts_on_a_batch_of_several_bursts_come_too_late() -> None:
    bridge = Bridge(web().packets, burst=2)
    bridge.stack.on_batch(ms.ON_PKT_IN, lambda batch: bytes(len(batch)), size=4)
    with pytest.raises(RuntimeError, match="batches of size 0"):
        bridge.stack.run()


# --- flow sockets ---


@pytest.mark.parametrize("burst", [1, 256])
def test_sock_drop_drops_the_rest(burst: int) -> None:
    bridge = Bridge(web().packets, burst=burst)
    bridge.stack.on(ms.ON_CONN_NEW_DATA, lambda sock, event: sock.drop(), side=SERVER)
    bridge.stack.run()
    assert bridge.dropped() == [4, 5, 6, 7]


def test_sock_reset_resets() -> None:
    client, server = split(web())
    stack = ms.Stack(client, server)
    kept: list[ms.FlowSocket] = []

    @stack.on(ms.ON_CONN_SETUP)
    def reset(sock: ms.FlowSocket, _event: ms.Event) -> None:
        kept.append(sock)
        sock.reset()

    stack.run()
    assert [bool(flags_of(port.sent[-1]) & RST) for port in (client, server)] == [True, True]
    assert kept[0].flow.reason == ms.EndReason.RESET
    for act in (kept[0].reset, kept[0].drop):
        with pytest.raises(ms.FlowEndedError):
            act()


def test_sock_stop_lets_the_rest_pass() -> None:
    bridge = Bridge(web().packets)
    calls: list[int] = []

    @bridge.stack.on(ms.ON_PKT_IN)
    def stop(sock: ms.FlowSocket, event: ms.Event) -> None:
        calls.append(event.time_ns)
        sock.stop()

    bridge.stack.run()
    assert (len(calls), bridge.dropped()) == (1, [])
    assert bridge.stack.statistics()["bypassed"] == 7


def test_a_stack_that_only_reads_can_neither_drop_nor_reset(capture: pathlib.Path) -> None:
    stack = ms.Stack(capture)
    errors: list[str] = []

    @stack.on(ms.ON_CONN_START)
    def try_all(sock: ms.FlowSocket, _event: ms.Event) -> None:
        for act in (sock.drop, sock.reset, lambda: stack.inject(b"frame")):
            with pytest.raises(RuntimeError) as caught:
                act()
            errors.append(str(caught.value))
        stack.stop()

    stack.run()
    assert len(errors) == 3
    assert "two ports" in errors[0]
    assert "only reads" in errors[1]


# --- frames of one's own ---


def test_inject_sends_behind_the_packet_at_hand() -> None:
    bridge = Bridge(web().packets)
    made = udp_frame(b"made")
    bridge.stack.on(ms.ON_CONN_SETUP, lambda sock, event: bridge.stack.inject(made, port=1))
    bridge.stack.run()
    assert bridge.far.sent == [*bridge.frames[:3], made, *bridge.frames[3:]]
    assert bridge.stack.statistics()["injected"] == 1


def test_inject_takes_a_port_that_is_there_and_a_frame() -> None:
    bridge = Bridge(web().packets)
    bridge.stack.inject(b"before the first packet")
    assert bridge.near.sent == [b"before the first packet"]
    with pytest.raises(ValueError, match="no port 2"):
        bridge.stack.inject(b"x", port=2)
    with pytest.raises(ValueError, match="empty frame"):
        bridge.stack.inject(b"")


# --- failures ---


def failing(_sock: ms.FlowSocket, _event: ms.Event) -> None:
    raise KeyError("mine")


@pytest.mark.parametrize(("policy", "gone"), [("open", []), ("closed", [3, 4, 5, 6, 7])])
def test_a_failing_handlers_packet_follows_the_policy(
    policy: Any,  # noqa: ANN401
    gone: list[int],
    caplog: pytest.LogCaptureFixture,
) -> None:
    bridge = Bridge(web().packets, on_error="log", on_failure=policy)
    bridge.stack.on(ms.ON_CONN_NEW_DATA, failing)
    with caplog.at_level(logging.ERROR, "midsock"):
        bridge.stack.run()
    assert bridge.dropped() == gone
    # Nothing more of a flow that was closed is told.
    assert bridge.stack.statistics()["handler_errors"] == (2 if policy == "open" else 1)
    assert "10.0.0.1:40000" in caplog.text


@pytest.mark.parametrize(("policy", "gone"), [("open", []), ("closed", [3, 4, 5, 6, 7])])
@pytest.mark.parametrize("what", ["filter", "batch", "answer"])
def test_filters_batches_and_wrong_answers_fail_like_handlers(
    what: str,
    policy: Any,  # noqa: ANN401
    gone: list[int],
) -> None:
    bridge = Bridge(web().packets, on_error="log", on_failure=policy)
    if what == "filter":
        bridge.stack.on(ms.ON_CONN_NEW_DATA.where(lambda sock, event: bool(1 // 0)), lambda sock, event: None)
    elif what == "batch":
        bridge.stack.on_batch(ms.ON_CONN_NEW_DATA, lambda batch: 1 // 0)
    else:
        bridge.stack.on(ms.ON_CONN_NEW_DATA, lambda sock, event: "no verdict")
    logging.getLogger("midsock").disabled = True
    try:
        bridge.stack.run()
    finally:
        logging.getLogger("midsock").disabled = False
    assert bridge.dropped() == gone


@pytest.mark.parametrize(("policy", "gone"), [("open", []), ("closed", [3, 4, 5, 6, 7])])
def test_a_stack_that_ends_within_a_burst_follows_the_policy(
    policy: Any,  # noqa: ANN401
    gone: list[int],
) -> None:
    bridge = Bridge(web().packets, on_failure=policy)
    bridge.stack.on(ms.ON_CONN_NEW_DATA, failing)
    with pytest.raises(KeyError):
        bridge.stack.run()
    bridge.stack.close()
    assert bridge.dropped() == gone


def test_after_an_error_the_stack_goes_on_where_it_was() -> None:
    bridge = Bridge(web().packets, on_failure="closed")
    bridge.stack.on(ms.ON_CONN_NEW_DATA, failing)
    # Once: with its packet the whole flow is dropped.
    with pytest.raises(KeyError):
        bridge.stack.run()
    assert bridge.stack.run()
    assert bridge.dropped() == [3, 4, 5, 6, 7]


def test_choices_are_checked() -> None:
    with pytest.raises(ValueError, match="on_failure is one of open, closed"):
        ms.Stack(ms.MemoryPort([]), ms.MemoryPort([]), on_failure="shut")  # type: ignore[arg-type]
    with pytest.raises(ms.PortError):
        ms.Stack(ms.MemoryPort([]), "/")
    with pytest.raises(TypeError):
        ms.Stack(ms.MemoryPort([]), 1)  # type: ignore[arg-type]
    one = ms.MemoryPort([])
    with pytest.raises(RuntimeError, match="serves one stack"):
        ms.Stack(one, one)


# --- running ---


def test_run_says_whether_the_input_is_over() -> None:
    stack = web().stack(burst=1)
    stack.on(ms.ON_CONN_SETUP, lambda sock, event: stack.stop())
    assert (stack.run(), stack.ended) == (False, False)
    assert (stack.run(timeout=60), stack.ended) == (True, True)


def test_run_ends_in_time() -> None:
    stack = web().stack(burst=1)
    assert not stack.run(timeout=0)
    assert stack.statistics()["received"] < 8
    assert stack.run(timeout=float("inf"))
    for wrong in (-1, float("nan")):
        with pytest.raises(ValueError, match="timeout is a time in seconds"):
            stack.run(timeout=wrong)


def test_flows_end_in_time_and_go_on() -> None:
    stack = ms.Stack(ms.MemoryPort(merge(*(web(number=number) for number in range(50))), burst=1))
    stack.socket()
    records = []
    while not stack.ended:
        records += list(stack.flows(timeout=0.0005))
    assert len(records) == 50


def test_finish_ends_every_flow() -> None:
    stack = web().stack(burst=1)
    reasons: list[ms.EndReason] = []
    stack.on(ms.ON_CONN_SETUP, lambda sock, event: stack.finish())
    stack.on(ms.ON_CONN_END, lambda sock, event: reasons.append(event.reason))
    assert stack.run()
    assert reasons == [ms.EndReason.END]
    assert stack.statistics()["received"] == 3


def test_an_inline_stack_is_collected_with_its_handlers() -> None:
    class Handler:
        def __call__(self, sock: ms.FlowSocket, _event: ms.Event) -> None:
            self.sock = sock

    bridge = Bridge(web().packets)
    handler = Handler()
    handler.stack = bridge.stack  # type: ignore[attr-defined]
    bridge.stack.on(ms.ON_PKT_IN, handler)
    bridge.stack.run()
    gone = weakref.ref(handler)
    del bridge, handler
    gc.collect()
    assert gone() is None


# --- edits ---


def tcp_sums_are_right(frames: Sequence[bytes]) -> bool:
    """Tell whether IPv4 and TCP checksums of frames are right."""
    for frame in frames:
        ip, segment = frame[14:34], frame[34:]
        pseudo = ip[12:20] + bytes([0, 6]) + len(segment).to_bytes(2, "big")
        if checksum(ip) or checksum(pseudo + segment):
            return False
    return True


def number(frame: bytes, at: int) -> int:
    """Give the 32-bit number at an offset into the TCP header."""
    return int.from_bytes(frame[34 + at : 38 + at], "big")


@pytest.mark.parametrize(
    ("field", "value", "shown"),
    [
        (ms.ip.ttl, 63, 63),
        ("ip.ttl", 1, 1),
        (ms.ip.src, "192.0.2.1", "192.0.2.1"),
        (ms.ip.dst, ipaddress.ip_address("192.0.2.2"), "192.0.2.2"),
        (ms.eth.src, "02:aa:00:00:00:01", "02:aa:00:00:00:01"),
        (ms.eth.dst, b"\2\3\4\5\6\7", "02:03:04:05:06:07"),
        (ms.tcp.window, 1000, 1000),
        (ms.tcp.dport, 8080, 8080),
        (ms.tcp.psh, True, True),
        (ms.tcp.psh, False, False),
    ],
)
def test_a_header_field_is_set_in_place(field: ms.Field | str, value: Any, shown: object) -> None:  # noqa: ANN401
    bridge = Bridge(web().packets)
    only = ms.ON_CONN_NEW_DATA
    bridge.stack.on(only, lambda sock, event: event.set(field, value), side=CLIENT)
    bridge.stack.run()
    assert len(bridge.far.sent) == 8
    assert tcp_sums_are_right(bridge.far.sent)
    changed = [place for place in range(8) if bridge.far.sent[place] != bridge.frames[place]]
    assert changed in ([3], [])
    after = ms.Stack(ms.MemoryPort([(0, bridge.far.sent[3])]))
    seen: list[object] = []
    after.socket(ms.MONITOR_RAW).on(ms.ON_PKT_IN, lambda _, event: seen.append(event[field]))
    after.run()
    assert seen == [shown]


@pytest.mark.parametrize("name", ["ip.dscp", "ip.ecn", "ip.id"])
def test_some_fields_can_only_be_set(name: str) -> None:
    bridge = Bridge(web().packets)
    bridge.stack.on(ms.ON_CONN_NEW_DATA, lambda sock, event: event.set(name, 1))
    bridge.stack.run()
    assert tcp_sums_are_right(bridge.far.sent)
    assert [place for place in range(8) if bridge.far.sent[place] != bridge.frames[place]] == [3, 4]


@pytest.mark.parametrize(
    ("field", "value", "error"),
    [
        (ms.ip.ttl, 256, ValueError),
        (ms.ip.ttl, -1, ValueError),
        (ms.ip.ttl, 2**64, ValueError),
        (ms.ip.ttl, "10.0.0.1", TypeError),
        (ms.ip.ttl, None, TypeError),
        (ms.ip.src, "::1", ValueError),
        (ms.ip.src, "nowhere", ValueError),
        (ms.ip.src, 1, TypeError),
        (ms.eth.vlan, 5, ValueError),
        (ms.tcp.mss, 5, ValueError),
        (ms.flow.id, 5, KeyError),
        ("no.such", 5, KeyError),
        (5, 5, TypeError),
    ],
)
def test_what_cannot_be_set_is_an_error_and_changes_nothing(
    field: Any,  # noqa: ANN401
    value: Any,  # noqa: ANN401
    error: type[Exception],
) -> None:
    bridge = Bridge(web().packets)
    tried: list[bool] = []

    @bridge.stack.on(ms.ON_CONN_NEW_DATA, side=CLIENT)
    def set_it(_sock: ms.FlowSocket, event: ms.Event) -> None:
        with pytest.raises(error):
            event.set(field, value)
        tried.append(True)

    bridge.stack.run()
    assert (tried, bridge.far.sent) == ([True], bridge.frames)


def test_a_payload_is_replaced_by_data_of_another_length() -> None:
    client, server = split(web())
    stack = ms.Stack(client, server)
    seen: list[bytes] = []

    @stack.on(ms.ON_CONN_NEW_DATA, side=CLIENT)
    def edit(_sock: ms.FlowSocket, event: ms.Event) -> None:
        seen.append(event.data)
        assert event.replace(b"/a/longer/target", 4, 5)

    @stack.on(ms.ON_CONN_NEW_DATA, side=SERVER)
    def shorten(_sock: ms.FlowSocket, event: ms.Event) -> None:
        seen.append(event.data)
        assert event.replace(b"NO\r\n\r\n", -6)

    stack.run()
    to_server, to_client = server.sent, client.sent
    assert tcp_sums_are_right(to_server)
    assert tcp_sums_are_right(to_client)
    assert seen == [REQUEST, ANSWER]
    request, answer = to_server[2], to_client[1]
    assert request.endswith(b"GET /a/longer/target HTTP/1.1\r\n\r\n")
    assert answer.endswith(ANSWER[:-6] + b"NO\r\n\r\n")
    # What follows is 15 bytes further for the server, and the client's own numbers are left to it.
    fin = next(frame for frame in to_server[3:] if flags_of(frame) & 1)
    assert number(fin, 4) == 1_001 + len(REQUEST) + 15
    assert all(number(frame, 8) <= 1_002 + len(REQUEST) for frame in to_client)


def test_ranges_of_a_replacement_are_slices() -> None:
    for start, stop, expected in [
        (0, None, b"x"),
        (4, 4, b"GET x/ HTTP/1.1\r\n\r\n"),
        (-4, None, b"GET / HTTP/1.1x"),
        (0, -4, b"x\r\n\r\n"),
        (100, None, REQUEST + b"x"),
        (5, 2, b"GET /x HTTP/1.1\r\n\r\n"),
    ]:
        bridge = Bridge(web().packets)
        bridge.stack.on(
            ms.ON_CONN_NEW_DATA,
            lambda sock, event, a=start, b=stop: event.replace(b"x", a, b) and None,
            side=CLIENT,
        )
        bridge.stack.run()
        assert bridge.far.sent[3][54:] == expected


def test_bytes_are_injected_into_a_stream() -> None:
    client, server = split(web())
    stack = ms.Stack(client, server)
    stack.on(ms.ON_CONN_NEW_DATA, lambda sock, event: sock.client.inject(b"more"), side=CLIENT)
    stack.run()
    assert tcp_sums_are_right(server.sent)
    assert b"".join(frame[54:] for frame in server.sent[1:]) == REQUEST + b"more"


def test_an_end_is_seen_at_another_address() -> None:
    talk = web()
    client, server = split(talk)
    # The server answers to where the packets seem to come from.
    answers = [
        (at, tcp_frame(talk.peers[1], Peer("192.0.2.1", 50_000, "02:00:00:00:00:01"), *fields))
        for at, fields in (
            (talk.packets[1][0], (5_000, 1_001, SYN | ACK)),
            (talk.packets[4][0], (5_001, 1_001 + len(REQUEST), ACK, ANSWER)),
        )
    ]
    server = ms.MemoryPort(answers)
    stack = ms.Stack(client, server)
    seen: list[bytes] = []

    @stack.on(ms.ON_CONN_START)
    def translate(sock: ms.FlowSocket, _event: ms.Event) -> None:
        sock.translate(client=("192.0.2.1", 50_000))

    stack.on(ms.ON_CONN_NEW_DATA, lambda sock, event: seen.append(event.data), side=SERVER)
    stack.run()
    outside = ipaddress.ip_address("192.0.2.1").packed
    inside = ipaddress.ip_address("10.0.0.1").packed
    assert {frame[26:30] for frame in server.sent} == {outside}
    assert {frame[30:34] for frame in client.sent} == {inside}
    assert {int.from_bytes(frame[36:38], "big") for frame in client.sent} == {40_000}
    assert tcp_sums_are_right([*server.sent, *client.sent])
    assert seen == [ANSWER]
    assert stack.statistics()["flows_opened"] == 1


def test_edits_are_checked() -> None:
    bridge = Bridge(web().packets)
    tried: list[bool] = []

    @bridge.stack.on(ms.ON_CONN_START)
    def start(sock: ms.FlowSocket, event: ms.Event) -> None:
        for wrong in (("nowhere", 1), ("::1", 1)):
            with pytest.raises(ValueError):  # noqa: PT011 (of either kind)
                sock.translate(client=wrong)
        no_pairs: list[Any] = ["10.0.0.1", ("10.0.0.1", 70_000), ("10.0.0.1",)]
        for no_pair in no_pairs:
            with pytest.raises(TypeError):
                sock.translate(server=no_pair)
        with pytest.raises(RuntimeError, match="not set up yet"):
            sock.client.inject(b"early")
        with pytest.raises(RuntimeError, match="SYN"):
            event.replace(b"x")
        tried.append(True)

    bridge.stack.run()
    assert (tried, bridge.far.sent) == ([True], bridge.frames)


def test_with_one_port_nothing_can_be_changed() -> None:
    stack = web().stack()
    tried: list[bool] = []

    @stack.on(ms.ON_CONN_NEW_DATA)
    def change(sock: ms.FlowSocket, event: ms.Event) -> None:
        for act in (
            lambda: event.set(ms.ip.ttl, 1),
            lambda: event.replace(b""),
            lambda: sock.client.inject(b"x"),
            sock.client.keep_order,
            lambda: sock.translate(client=("10.0.0.9", 1)),
        ):
            with pytest.raises(RuntimeError, match="two ports"):
                act()
        tried.append(True)

    stack.run()
    assert tried == [True, True]


def test_a_kept_event_cannot_change_a_packet() -> None:
    bridge = Bridge(web().packets)
    kept: list[ms.Event] = []
    bridge.stack.on(ms.ON_CONN_NEW_DATA, lambda sock, event: kept.append(event))
    bridge.stack.run()
    for act in (lambda: kept[0].set(ms.ip.ttl, 1), lambda: kept[0].replace(b"")):
        with pytest.raises(RuntimeError, match="the packet is gone"):
            act()
