"""Events: which fire, when, in which order, and for whom."""

from __future__ import annotations

import midsock as ms
import pytest
from frames import ACK, FIN, SECOND, START, SYN, Packet, Talk, merge, udp_frame, web
from midsock import CLIENT, SERVER, Anomaly, EndReason, RexmitKind, State

Sock = ms.FlowSocket


def log_of(stack: ms.Stack, *events: ms.EventType, hook: ms.Hook = ms.POST_TCP) -> list[ms.Event]:
    """Run a stack and give all events of these types, in order."""
    log: list[ms.Event] = []
    for event in events:
        stack.on(event, lambda _sock, event: log.append(event), hook=hook)
    stack.run()
    return log


# --- the built-in events ---


def test_every_packet_of_a_flow_is_told_at_every_hook() -> None:
    talk = web()
    for hook in ms.Hook:
        events = log_of(talk.stack(), ms.ON_PKT_IN, hook=hook)
        assert [event.hook for event in events] == [hook] * len(talk.packets)
        assert [event.time_ns for event in events] == [time for time, _ in talk.packets]


def test_start_is_the_first_syn_only() -> None:
    talk = Talk().syn().wait(1).syn().wait(2).syn().synack().send(CLIENT)
    (event,) = log_of(talk.stack(), ms.ON_CONN_START)
    assert (event.side, event.time_ns) == (CLIENT, talk.packets[0][0])
    assert event.time == pytest.approx(event.time_ns / 1e9)


def test_set_up_is_told_once_when_both_ends_are_established() -> None:
    talk = Talk().open().client(b"a").send(CLIENT)
    states = []
    stack = talk.stack()
    stack.on(
        ms.ON_CONN_SETUP,
        lambda sock, event: states.append((event.time_ns, sock.client.state, sock.server.state)),
    )
    stack.run()
    assert states == [(talk.packets[2][0], State.ESTABLISHED, State.ESTABLISHED)]


def test_no_set_up_without_the_last_ack_of_the_handshake() -> None:
    assert log_of(Talk().syn().synack().stack(), ms.ON_CONN_SETUP) == []


def test_state_changes_are_those_of_rfc_9293() -> None:
    changes = log_of(web().stack(), ms.ON_TCP_STATE_CHANGE)
    by_side = {
        side: [(event.old, event.new) for event in changes if event.side is side] for side in (CLIENT, SERVER)
    }
    assert by_side[CLIENT] == [
        (State.CLOSED, State.SYN_SENT),
        (State.SYN_SENT, State.ESTABLISHED),
        (State.ESTABLISHED, State.FIN_WAIT_1),
        (State.FIN_WAIT_1, State.FIN_WAIT_2),
        (State.FIN_WAIT_2, State.TIME_WAIT),
    ]
    assert by_side[SERVER] == [
        (State.LISTEN, State.SYN_RECEIVED),
        (State.SYN_RECEIVED, State.ESTABLISHED),
        (State.ESTABLISHED, State.CLOSE_WAIT),
        (State.CLOSE_WAIT, State.LAST_ACK),
        (State.LAST_ACK, State.CLOSED),
    ]


def test_hooks_see_the_ends_before_between_and_after() -> None:
    seen: list[tuple[State, State]] = []
    stack = Talk().syn().stack()
    for hook in ms.Hook:
        stack.on(
            ms.ON_PKT_IN, lambda sock, _event: seen.append((sock.client.state, sock.server.state)), hook=hook
        )
    stack.run()
    assert seen == [
        (State.CLOSED, State.LISTEN),
        (State.SYN_SENT, State.LISTEN),
        (State.SYN_SENT, State.SYN_RECEIVED),
    ]


def test_senders_change_is_told_at_post_snd_and_both_at_post_tcp() -> None:
    sides = [event.side for event in log_of(Talk().syn().stack(), ms.ON_TCP_STATE_CHANGE, hook=ms.POST_SND)]
    assert sides == [CLIENT]
    sides = [event.side for event in log_of(Talk().syn().stack(), ms.ON_TCP_STATE_CHANGE)]
    assert sides == [CLIENT, SERVER]


@pytest.mark.parametrize(
    ("event", "hook", "advice"),
    [
        (ms.ON_CONN_SETUP, ms.PRE_TCP, "POST_TCP"),
        (ms.ON_CONN_NEW_DATA, ms.POST_SND, "POST_TCP"),
        (ms.ON_GAP, ms.PRE_TCP, "POST_TCP"),
        (ms.ON_CONN_END, ms.POST_SND, "POST_TCP"),
        (ms.ON_TIMER, ms.PRE_TCP, "POST_TCP"),
        (ms.ON_TCP_STATE_CHANGE, ms.PRE_TCP, "POST_SND or POST_TCP"),
    ],
)
def test_hook_without_the_event_is_an_error_with_advice(
    event: ms.EventType, hook: ms.Hook, advice: str
) -> None:
    stack = web().stack()
    with pytest.raises(ValueError, match=f"{event!r} cannot be handled at {hook.name}: choose {advice}"):
        stack.on(event, print, hook=hook)
    with pytest.raises(ValueError, match="cannot be handled"):
        stack.on(event.where(ms.tcp.syn), print, hook=hook)


def test_new_data_says_side_offset_length_and_bytes() -> None:
    talk = Talk().open().client(b"abc").server(b"12").client(b"defg")
    seen = []
    stack = talk.stack()
    stack.on(
        ms.ON_CONN_NEW_DATA,
        lambda _sock, event: seen.append((event.side, event.offset, event.length, event.data)),
    )
    stack.run()
    assert seen == [(CLIENT, 0, 3, b"abc"), (SERVER, 0, 2, b"12"), (CLIENT, 3, 4, b"defg")]


def test_gap_is_told_where_bytes_were_acknowledged_but_never_seen() -> None:
    talk = Talk().open().client(b"abc").client(b"lost", lost=True).client(b"xyz").send(SERVER).wait(1)
    talk.client(b"!").send(SERVER)
    events = log_of(talk.stack(), ms.ON_CONN_NEW_DATA, ms.ON_GAP)
    told = [(event.kind, event.side, event.offset, event.length) for event in events]
    assert told == [
        ("ON_CONN_NEW_DATA", CLIENT, 0, 3),
        ("ON_GAP", CLIENT, 3, 4),
        ("ON_CONN_NEW_DATA", CLIENT, 7, 3),
        ("ON_CONN_NEW_DATA", CLIENT, 10, 1),
    ]


def test_retransmissions_of_every_kind_are_told_at_every_hook() -> None:
    talk = Talk().syn().syn().synack().synack().send(CLIENT).client(b"abcd").client(b"abcd", offset=0)
    talk.send(SERVER).send(CLIENT, FIN | ACK).send(CLIENT, FIN | ACK, offset=4)
    for hook in ms.Hook:
        events = log_of(talk.stack(), ms.ON_REXMIT, hook=hook)
        told = [(event.rexmit, event.side, event.length, event.partial) for event in events]
        assert told == [
            (RexmitKind.SYN, CLIENT, 0, False),
            (RexmitKind.SYNACK, SERVER, 0, False),
            (RexmitKind.DATA, CLIENT, 4, False),
            (RexmitKind.FIN, CLIENT, 0, False),
        ]


def test_partial_retransmission_counts_the_repeated_bytes() -> None:
    talk = Talk().open().client(b"abcd").client(b"cdef", offset=2)
    (event,) = log_of(talk.stack(), ms.ON_REXMIT)
    assert (event.rexmit, event.length, event.partial) == (RexmitKind.DATA, 2, True)


def test_keep_alives_and_window_probes_are_no_retransmissions() -> None:
    talk = Talk().open().client(b"abcd").send(SERVER)
    talk.send(CLIENT, ACK, b"d", offset=3).send(SERVER)  # keep-alive with a garbage byte
    talk.send(CLIENT, ACK, offset=3).send(SERVER)  # keep-alive without
    stack = talk.stack()
    ends: list[ms.Endpoint] = []
    stack.on(ms.ON_CONN_END, lambda sock, _event: ends.append(sock.client))
    assert log_of(stack, ms.ON_REXMIT) == []
    assert ends[0].keep_alives == 2

    talk = Talk().open().client(b"abcd").send(SERVER, window=0)
    talk.send(CLIENT, ACK, b"e").send(SERVER, ack=1005, window=0).send(CLIENT, ACK, b"e", offset=4)
    stack = talk.stack()
    ends.clear()
    stack.on(ms.ON_CONN_END, lambda sock, _event: ends.append(sock.client))
    assert log_of(stack, ms.ON_REXMIT) == []
    assert ends[0].window_probes >= 1


@pytest.mark.parametrize(
    ("talk", "reason"),
    [
        (web(), EndReason.CLOSED),
        (Talk().open().rst(), EndReason.RESET),
        (Talk().open().rst(SERVER), EndReason.RESET),
        (Talk().open(), EndReason.END),
        (Talk().syn().send(SERVER, 4 | ACK, seq=0, ack=1001), EndReason.RESET),
    ],
)
def test_end_is_told_once_with_its_reason(talk: Talk, reason: EndReason) -> None:
    (event,) = log_of(talk.stack(), ms.ON_CONN_END)
    assert event.reason is reason


def test_idle_flow_times_out_at_its_time() -> None:
    talk = Talk().open()
    other = Talk(client_port=7, now=talk.now + 4_000 * SECOND).syn()
    events = log_of(ms.Stack(ms.MemoryPort(merge(talk, other))), ms.ON_CONN_END)
    assert [event.reason for event in events] == [EndReason.TIMEOUT, EndReason.END]


def test_timeouts_can_be_set() -> None:
    talk = Talk().open().wait(10)
    other = Talk(client_port=7, now=talk.now).syn()
    port = ms.MemoryPort(merge(talk, other))
    stack = ms.Stack(port, timeouts={"established": 5, "opening": 1.5})
    assert [event.reason for event in log_of(stack, ms.ON_CONN_END)] == [EndReason.TIMEOUT, EndReason.END]


def test_nothing_comes_after_the_end() -> None:
    talk = web().client(b"late").server(b"late", offset=0)
    kinds = [event.kind for event in log_of(talk.stack(), *ALL_OF_A_FLOW)]
    assert kinds.count("ON_CONN_END") == 1
    assert kinds[-1] == "ON_CONN_END"


ALL_OF_A_FLOW = (
    ms.ON_PKT_IN,
    ms.ON_CONN_START,
    ms.ON_CONN_SETUP,
    ms.ON_TCP_STATE_CHANGE,
    ms.ON_CONN_NEW_DATA,
    ms.ON_GAP,
    ms.ON_REXMIT,
    ms.ON_ANOMALY,
    ms.ON_CONN_END,
)


def test_orphan_is_a_tcp_packet_of_no_flow() -> None:
    talk = Talk().send(SERVER, ACK, b"midstream")
    stack = talk.stack()
    socks: list[object] = []
    stack.on(ms.ON_ORPHAN, lambda sock, event: socks.append((sock, event["tcp.payload"])))
    stack.run()
    assert socks == [(stack.default_socket, b"midstream")]
    assert stack.statistics()["orphans"] == 1


def test_midstream_pickup_makes_a_flow_of_it() -> None:
    stack = Talk().send(SERVER, ACK, b"abc").stack(midstream=True)
    seen: list[tuple[bool, bool, bytes]] = []
    stack.on(
        ms.ON_CONN_NEW_DATA, lambda sock, event: seen.append((sock.midstream, sock.handshake, event.data))
    )
    stack.run()
    assert seen == [(True, False, b"abc")]


@pytest.mark.parametrize(
    ("talk", "anomaly"),
    [
        (Talk().open().send(CLIENT, ACK, b"x", bad_checksum=True).client(b"y"), None),
        (Talk().open().client(b"ok").send(CLIENT, ACK, b"x", bad_checksum=True), Anomaly.BAD_CHECKSUM),
        (Talk().open().send(CLIENT, SYN | FIN, b"x"), Anomaly.BAD_FLAGS),
        (Talk().open().send(CLIENT, ACK, b"x", offset=1_000_000), Anomaly.OUT_OF_WINDOW),
        (Talk().open().send(CLIENT, ACK, b"x", ack=99_999_999), Anomaly.INVALID_ACK),
        (Talk().open().send(CLIENT, 4, seq=1_100), Anomaly.INEXACT_RST),
        (Talk().open().send(CLIENT, SYN, seq=77_000), Anomaly.SYN_ON_LIVE),
        (
            Talk().open().client(b"abc", offset=3).client(b"ABC", offset=3).client(b"000", offset=0),
            Anomaly.DIFFERENT_CONTENT,
        ),
        (Talk().open().close().send(CLIENT, ACK, b"x"), None),
    ],
)
def test_anomalies_are_named(talk: Talk, anomaly: Anomaly | None) -> None:
    stack = talk.stack()
    # Contents can only be compared where somebody wants the bytes.
    stack.on(ms.ON_CONN_NEW_DATA, lambda _sock, event: len(event.data))
    named = {event.anomaly for event in log_of(stack, ms.ON_ANOMALY)}
    assert anomaly in named if anomaly is not None else not named - {Anomaly.BAD_CHECKSUM}


def test_attribute_of_another_event_is_an_attribute_error() -> None:
    (event,) = log_of(Talk().open().stack(), ms.ON_CONN_SETUP)
    for name in ("offset", "length", "data", "old", "new", "reason", "rexmit", "partial", "anomaly"):
        with pytest.raises(AttributeError, match="ON_CONN_SETUP has no"):
            getattr(event, name)


# --- user-defined events ---


def test_the_papers_event_counts_syn_retransmissions() -> None:
    talk = Talk().syn().wait(1).syn().wait(2).syn().synack().synack().send(CLIENT)
    stack = talk.stack()
    counted = stack.count(ms.ON_REXMIT.where(ms.tcp.syn & ~ms.tcp.ack), hook=ms.PRE_TCP)
    stack.run()
    assert (counted.value, int(counted)) == (2, 2)


def test_forest_runs_a_filter_only_where_its_parent_fired() -> None:
    asked: list[str] = []

    def is_client(_sock: Sock, event: ms.Event) -> bool:
        asked.append("parent")
        return event.side is CLIENT

    def is_long(_sock: Sock, event: ms.Event) -> bool:
        asked.append("child")
        return event.length > 2

    parent = ms.ON_CONN_NEW_DATA.where(is_client)
    stack = Talk().open().client(b"ab").server(b"1234").client(b"cdef").stack()
    counts = [stack.count(event) for event in (parent, parent.where(is_long))]
    stack.run()
    assert [count.value for count in counts] == [2, 1]
    assert asked == ["parent", "child", "parent", "parent", "child"]


@pytest.mark.parametrize("depth", [1, 10, 1000])
def test_events_below_one_another_to_any_depth(depth: int) -> None:
    event = ms.ON_PKT_IN
    for level in range(depth):
        event = event.where(ms.tcp.dport != level)
    stack = Talk().open().stack()
    counted = stack.count(event)
    stack.run()
    # The server's port is 80, so that level 80 stops what the client sent.
    assert counted.value == (3 if depth <= 80 else 1)
    assert repr(event).count(".where(") == depth


def test_callables_below_one_another_to_a_depth_of_1000() -> None:
    event = ms.ON_CONN_SETUP
    for _ in range(1000):
        event = event.where(lambda _sock, _event: True)
    (told,) = log_of(Talk().open().stack(), event)
    assert told.kind == "ON_CONN_SETUP"


def test_too_deep_is_an_error_and_no_crash() -> None:
    def deepen() -> None:
        event = ms.ON_PKT_IN
        for _ in range(100_000):
            event = event.where(ms.tcp.syn)

    with pytest.raises(ValueError, match="events below one another"):
        deepen()


def test_same_definition_is_the_same_event() -> None:
    def is_odd(_sock: Sock, _event: ms.Event) -> bool:
        asked.append(1)
        return True

    asked: list[int] = []
    one, two = ms.ON_REXMIT.where(ms.tcp.syn == True), ms.ON_REXMIT.where(ms.tcp.syn == True)  # noqa: E712
    assert one == two
    assert hash(one) == hash(two)
    assert one != ms.ON_REXMIT.where(ms.tcp.ack)
    assert one.parent == ms.ON_REXMIT
    assert one.parent is not None
    assert one.parent.parent is None
    assert one.root == "ON_REXMIT"
    assert ms.ON_PKT_IN.where(is_odd) == ms.ON_PKT_IN.where(is_odd)
    assert ms.EventType("ON_REXMIT") == ms.ON_REXMIT
    assert (ms.ON_REXMIT == "ON_REXMIT") is False
    # Its filter runs once per packet, however many handlers there are.
    stack = Talk().syn().stack()
    told: list[int] = []
    stack.on(ms.ON_PKT_IN.where(is_odd), lambda _sock, _event: told.append(1))
    stack.on(ms.ON_PKT_IN.where(is_odd), lambda _sock, _event: told.append(2))
    stack.run()
    assert (told, asked) == ([1, 2], [1])


def test_filter_of_an_event_is_an_expression_or_a_callable() -> None:
    wrong: object = "tcp.syn"
    with pytest.raises(TypeError, match="an expression of fields or a callable"):
        ms.ON_PKT_IN.where(wrong)  # type: ignore[arg-type]


def test_side_and_filter_narrow_a_registration() -> None:
    stack = Talk().open().client(b"abc").server(b"12").server(b"345").stack()
    counts = {
        "client": stack.count(ms.ON_CONN_NEW_DATA, side=CLIENT),
        "server": stack.count(ms.ON_CONN_NEW_DATA, side=SERVER, sum=ms.event.length),
        "long": stack.count(ms.ON_CONN_NEW_DATA, filter=ms.event.length > 2, sum="event.length"),
        "both": stack.count(ms.ON_CONN_NEW_DATA, side=SERVER, filter=ms.event.length > 2),
        "call": stack.count(ms.ON_CONN_NEW_DATA, filter=lambda _sock, event: event.data == b"12"),
    }
    stack.run()
    assert {name: (count.value, count.sum) for name, count in counts.items()} == {
        "client": (1, 0),
        "server": (2, 5),
        "long": (2, 6),
        "both": (1, 0),
        "call": (1, 0),
    }


def test_application_raises_its_own_events() -> None:
    login, big = ms.user_event("login"), ms.user_event("big")
    assert login != ms.user_event("login")
    assert (login.root, login.parent) == ("ON_USER", None)
    stack = Talk().open().client(b"USER me").server(b"ok").stack()
    told: list[str] = []

    @stack.on(ms.ON_CONN_NEW_DATA, side=CLIENT)
    def data(sock: Sock, _event: ms.Event) -> None:
        sock.emit(login)
        sock.emit(big)
        told.append("data")

    stack.on(login, lambda _sock, _event: told.append("login"))
    stack.on(login.where(ms.client.port == 40_000), lambda _sock, _event: told.append("from there"))
    stack.on(login.where(ms.client.port == 1), lambda _sock, _event: told.append("from elsewhere"))
    stack.run()
    assert told == ["data", "login", "from there"]


def test_derived_event_can_be_raised_whatever_its_filter_says() -> None:
    never = ms.ON_REXMIT.where(ms.tcp.dport == 1)
    stack = Talk().open().stack()
    stack.on(ms.ON_CONN_SETUP, lambda sock, _event: sock.emit(never))
    counted = stack.count(never)
    stack.run()
    assert counted.value == 1


# --- order, registration ---


def test_events_of_a_flow_come_in_order_of_packets_and_registration() -> None:
    log: list[str] = []
    stack = Talk().open().client(b"a").server(b"b").stack(burst=1)
    stack.on(ms.ON_CONN_NEW_DATA, lambda _sock, event: log.append(f"1{event.data.decode()}"))
    stack.on(ms.ON_CONN_NEW_DATA, lambda _sock, event: log.append(f"2{event.data.decode()}"))
    stack.on(
        ms.ON_CONN_NEW_DATA.where(lambda _s, _e: True),
        lambda _s, event: log.append(f"3{event.data.decode()}"),
    )
    stack.run()
    assert log == ["1a", "2a", "3a", "1b", "2b", "3b"]


@pytest.mark.parametrize("burst", [1, 2, 3, 256])
def test_bursts_do_not_change_what_is_told(burst: int) -> None:
    talks = [web(number=number) for number in range(20)]
    port = ms.MemoryPort(merge(*talks), burst=burst)
    log = [(event.kind, event.side, event.time_ns) for event in log_of(ms.Stack(port), *ALL_OF_A_FLOW)]
    whole = log_of(ms.Stack(ms.MemoryPort(merge(*talks))), *ALL_OF_A_FLOW)
    assert log == [(event.kind, event.side, event.time_ns) for event in whole]


def test_handler_of_a_flow_is_for_that_flow_alone() -> None:
    talks = [web(number=number) for number in range(4)]
    stack = ms.Stack(ms.MemoryPort(merge(*talks)))
    told: list[tuple[int, bytes]] = []

    @stack.on(ms.ON_CONN_START)
    def start(sock: Sock, _event: ms.Event) -> None:
        if sock.client.port == 40_002:
            sock.on(ms.ON_CONN_NEW_DATA, lambda sock, event: told.append((sock.client.port, event.data)))

    stack.run()
    assert told == [(40_002, b"GET / HTTP/1.1\r\n\r\n"), (40_002, b"HTTP/1.1 200 OK\r\n\r\n")]


def test_flow_handler_as_a_decorator_with_options() -> None:
    stack = web().stack()
    told: list[bytes] = []

    @stack.on(ms.ON_CONN_SETUP)
    def set_up(sock: Sock, _event: ms.Event) -> None:
        @sock.on(ms.ON_CONN_NEW_DATA, side=SERVER, filter=ms.event.length > 1)
        def data(_sock: Sock, event: ms.Event) -> None:
            told.append(event.data)

    stack.run()
    assert told == [b"HTTP/1.1 200 OK\r\n\r\n"]


def test_decorators_return_the_function_and_off_takes_it_back() -> None:
    stack = Talk().open().client(b"a").client(b"b").client(b"c").stack(burst=1)
    told: list[bytes] = []

    @stack.on(ms.ON_CONN_NEW_DATA)
    def data(_sock: Sock, event: ms.Event) -> None:
        told.append(event.data)
        if event.data == b"b":
            assert stack.default_socket.off(data) == 1
            assert stack.default_socket.off(data) == 0

    assert callable(data)
    stack.run()
    assert told == [b"a", b"b"]


def test_off_takes_back_every_registration_of_a_handler() -> None:
    stack = web().stack()
    told: list[ms.Event] = []

    def handler(_sock: Sock, event: ms.Event) -> None:
        told.append(event)

    for event in (ms.ON_PKT_IN, ms.ON_CONN_END, ms.ON_CONN_NEW_DATA):
        assert stack.on(event, handler) is handler
    assert stack.default_socket.off(handler) == 3
    stack.run()
    assert told == []


def test_socket_is_the_same_object_for_the_whole_flow() -> None:
    stack = ms.Stack(ms.MemoryPort(merge(*(web(number=number) for number in range(3)))))
    socks: dict[int, set[int]] = {}
    kept: list[Sock] = []

    @stack.on(ms.ON_PKT_IN)
    def packet(sock: Sock, _event: ms.Event) -> None:
        socks.setdefault(sock.client.port, set()).add(id(sock))
        kept.append(sock)
        sock.user = (sock.user or 0) + 1

    stack.run()
    assert [len(ids) for ids in socks.values()] == [1, 1, 1]
    assert {sock.user for sock in kept} == {8}
    assert sorted({sock.id for sock in kept}) == [0, 1, 2]


def test_monitoring_sockets_watch_what_their_scope_says() -> None:
    talks = [Talk(server_port=port, client_port=port, now=START + port).open() for port in (80, 443, 22)]
    stack = ms.Stack(ms.MemoryPort(merge(*talks)))
    web_only = stack.socket(ms.MONITOR_STREAM, filter="tcp port 80 or port 443")
    ssh = stack.socket(filter="dst port 22")
    nothing = stack.socket(filter="host 203.0.113.9")
    counts = [sock.count(ms.ON_CONN_START) for sock in (web_only, ssh, nothing)]
    stack.run()
    assert [count.value for count in counts] == [2, 1, 0]
    assert "port" in web_only.filter
    assert stack.statistics()["unwatched"] == 0


def test_flows_nobody_watches_are_counted_only() -> None:
    stack = web().stack()
    stack.socket(filter="port 1").count(ms.ON_PKT_IN)
    stack.run()
    statistics = stack.statistics()
    # Without state, only the SYN can be told from an orphan.
    assert (statistics["unwatched"], statistics["orphans"]) == (1, 7)
    assert (statistics["tcp"], statistics["flows_opened"]) == (8, 0)


def test_raw_socket_sees_every_packet() -> None:
    packets: list[Packet] = [*web().packets, (START + SECOND, udp_frame()), (START + SECOND, b"runt")]
    stack = ms.Stack(ms.MemoryPort(packets))
    raw = stack.socket(ms.MONITOR_RAW)
    frames: list[bytes] = []
    socks: set[object] = set()

    @raw.on(ms.ON_PKT_IN)
    def packet(sock: ms.MonitorSocket, event: ms.Event) -> None:
        frames.append(event.frame)
        socks.add(id(sock))

    stack.run()
    assert frames == [frame for _, frame in packets]
    assert socks == {id(raw)}


def test_closed_monitoring_socket_tells_nothing_more() -> None:
    stack = Talk().open().client(b"a").client(b"b").stack(burst=1)
    told: list[bytes] = []
    sock = stack.socket()

    @sock.on(ms.ON_CONN_NEW_DATA)
    def data(_sock: Sock, event: ms.Event) -> None:
        told.append(event.data)
        sock.close()

    stack.run()
    assert told == [b"a"]


# --- timers ---


def test_timers_of_flows_and_of_the_stack_fire_in_packet_time() -> None:
    talk = Talk().open().wait(10).client(b"x")
    stack = talk.stack()
    told: list[tuple[str, object, int]] = []

    @stack.on(ms.ON_CONN_SETUP)
    def set_up(sock: Sock, event: ms.Event) -> None:
        sock.timer(2.5, lambda sock, event: told.append(("flow", sock, event.time_ns)))
        stack.timer(1, lambda sock, event: told.append(("stack", sock, event.time_ns)))
        sock.timer(100, lambda _sock, _event: told.append(("never", None, 0)))
        told.append(("set up", sock, event.time_ns))

    stack.run()
    assert [what for what, _, _ in told] == ["set up", "stack", "flow"]
    assert told[1][1] is None
    assert told[2][1] is told[0][1]


def test_on_timer_is_raised_for_timers_of_a_flow() -> None:
    stack = Talk().open().wait(10).client(b"x").stack()
    stack.on(ms.ON_CONN_SETUP, lambda sock, _event: sock.timer(1))
    told: list[str] = []
    stack.on(ms.ON_TIMER, lambda _sock, event: told.append(event.kind))
    stack.run()
    assert told == ["ON_TIMER"]


def test_timer_can_be_taken_back_once() -> None:
    stack = Talk().open().wait(10).client(b"x").wait(10).client(b"y").stack()
    told: list[str] = []
    timers: list[ms.Timer] = []

    @stack.on(ms.ON_CONN_SETUP)
    def set_up(sock: Sock, _event: ms.Event) -> None:
        timers.append(sock.timer(1, lambda _sock, _event: told.append("taken back")))
        timers.append(sock.timer(2, lambda _sock, _event: told.append("fired")))
        assert timers[0].cancel() is True
        assert timers[0].cancel() is False

    stack.run()
    assert told == ["fired"]
    assert [timer.cancel() for timer in timers] == [False, False]


def test_timer_can_set_the_next_one() -> None:
    stack = Talk().open().wait(1).client(b"x").wait(1).client(b"x").wait(1).client(b"x").stack()
    ticks: list[int] = []

    def tick(sock: Sock, event: ms.Event) -> None:
        ticks.append(event.time_ns)
        sock.timer(0.5, tick)

    stack.on(ms.ON_CONN_SETUP, lambda sock, _event: sock.timer(0.5, tick))
    stack.run()
    assert len(ticks) >= 3
    assert ticks == sorted(ticks)


@pytest.mark.parametrize("delay", [-1.0, float("nan"), float("inf")])
def test_timer_refuses_a_delay_that_is_none(delay: float) -> None:
    with pytest.raises(ValueError, match="0 seconds or more"):
        web().stack().timer(delay, print)
