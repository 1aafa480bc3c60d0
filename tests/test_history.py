"""Connection state and history in Zeek's notation, wherever Python can ask for them."""

from __future__ import annotations

import json
from typing import Literal

import midsock as ms
import pytest
from frames import ACK, MSS_1460, PSH, RST, SYN, Talk, merge, web
from midsock import CLIENT, SERVER


def histories(talk: Talk, checksum: Literal["auto", "verify", "ignore"] = "auto") -> list[tuple[str, str]]:
    with ms.Stack(talk.port(), midstream=True, checksum=checksum) as stack:
        stack.socket()
        return [(record.conn_state, record.history) for record in stack.flows()]


CASES = {
    "request": (web(), ("SF", "ShADdFf")),
    "attempt": (Talk().syn().syn(), ("S0", "S")),
    "refused": (Talk().syn().send(SERVER, RST | ACK, seq=0), ("REJ", "Sr")),
    "reset": (Talk().open().client(b"x").rst(SERVER), ("RSTR", "ShADr")),
    "half closed": (Talk().open().send(SERVER, ACK | 1), ("S3", "ShAf")),
    "lost": (Talk().open().client(b"x" * 9, lost=True).client(b"y").send(SERVER), ("S1", "ShADaG")),
    "again": (Talk().open().client(b"x").client(b"x", offset=0), ("S1", "ShADT")),
    "closed window": (Talk().open().client(b"x").send(SERVER, ACK, window=0), ("S1", "ShADaw")),
    "midstream": (Talk().send(CLIENT, ACK | PSH, b"x").send(SERVER), ("OTH", "Da")),
    "answer first": (Talk().server(b"x").client(b"y"), ("OTH", "^dD")),
    "SYN/ACK first": (Talk().synack().send(CLIENT, seq=1_001), ("S1", "^hA")),
    "both flags": (Talk().send(CLIENT, SYN | 1, options=MSS_1460), ("SH", "Q")),
}


@pytest.mark.parametrize("name", CASES)
def test_records_tell_state_and_history(name: str) -> None:
    talk, expected = CASES[name]
    assert histories(talk) == [expected]


def test_a_wrong_checksum_has_a_letter() -> None:
    talk = Talk().open().client(b"x").send(CLIENT, ACK | PSH, b"y", bad_checksum=True)
    assert histories(talk, checksum="verify") == [("S1", "ShADC")]
    assert histories(talk, checksum="ignore") == [("S1", "ShAD")]


def test_sockets_columns_and_filters_have_them() -> None:
    refused = Talk(client_port=41_000).syn().send(SERVER, RST | ACK, seq=0)
    with ms.Stack(ms.MemoryPort(merge(web(), refused))) as stack:
        rows: list[tuple[str, str]] = []
        seen: list[tuple[str, str]] = []
        stack.on_batch(
            ms.ON_CONN_END,
            lambda batch: rows.extend(
                zip(batch["flow.conn_state"].to_list(), batch["flow.history"].to_list(), strict=True)
            ),
            columns=["flow.conn_state", "flow.history"],
        )
        ends: list[ms.FlowSocket] = []
        stack.on(ms.ON_CONN_END, lambda sock, _event: ends.append(sock))
        stack.on(
            ms.ON_CONN_END,
            lambda sock, event: seen.append((sock.conn_state, event[ms.flow.history])),
            filter=(ms.flow.conn_state == "REJ") & ms.flow.history.startswith("S"),
        )
        count = stack.count(ms.ON_CONN_END, filter=ms.flow.history.contains("Ff"))
        stack.run()
        assert sorted(rows) == [("REJ", "Sr"), ("SF", "ShADdFf")]
        assert seen == [("REJ", "Sr")]
        assert int(count) == 1
    assert sorted((sock.conn_state, sock.history) for sock in ends) == sorted(rows)


def test_text_is_compared_with_text() -> None:
    with pytest.raises(TypeError):
        _ = ms.flow.conn_state == 5
    with pytest.raises(TypeError):
        _ = ms.flow.conn_state == b"SF"


def test_json_has_both() -> None:
    with web().stack() as stack:
        stack.socket()
        (record,) = stack.flows()
    assert json.loads(record.to_json())["history"] == record.history == "ShADdFf"
