#!/usr/bin/env python3
"""Say what tshark sees in a capture of web traffic, as JSON: the exact answers that tests compare with.

usage: web_truth.py CAPTURE >TRUTH.json        needs tshark (Debian package tshark)

tshark decodes, numbers the connections and finds the HTTP messages. What counts as a retransmission is
settled here from raw sequence numbers, as tshark's own names for one (fast, spurious, out of order) rest on
guesses about time:

- syn, synack, fin: a flag at a sequence number at which that side has already sent it on this connection;
- data: a segment with payload, some byte of which that side has already sent; what tshark marks as keep-alive
  or window probe is counted as that instead.

A segment that repeats both its payload and its FIN counts under both. Pairs are [client, server]; "requests"
and "responses" count HTTP messages that are complete in the capture, "stream_bytes" each byte once.
"""

import bisect
import json
import re
import subprocess
import sys
from collections import defaultdict

FIELDS = [
    "frame.time_epoch",
    "tcp.stream",
    "ip.src",
    "ip.dst",
    "ipv6.src",
    "ipv6.dst",
    "tcp.srcport",
    "tcp.dstport",
    "tcp.seq_raw",
    "tcp.len",
    "tcp.flags",
    "tcp.analysis.keep_alive",
    "tcp.analysis.zero_window_probe",
    "tcp.analysis.retransmission",
    "tcp.analysis.out_of_order",
    "tcp.analysis.lost_segment",
    "http.request.method",
    "http.response.code",
]
FIN, SYN, RST, ACK = 1, 2, 4, 16
KINDS = ("syn", "synack", "fin", "data")


class Sent:
    """The byte ranges that one side has sent, as sorted disjoint intervals of unwrapped sequence numbers."""

    def __init__(self) -> None:
        self.starts: list[int] = []
        self.ends: list[int] = []

    def add(self, start: int, end: int) -> bool:
        """Add a range; return whether any byte of it was there already."""
        first = bisect.bisect_left(self.ends, start)
        last = bisect.bisect_right(self.starts, end)
        seen = any(self.starts[i] < end and self.ends[i] > start for i in range(first, last))
        if first < last:
            start, end = min(start, self.starts[first]), max(end, self.ends[last - 1])
        self.starts[first:last] = [start]
        self.ends[first:last] = [end]
        return seen

    @property
    def length(self) -> int:
        """How many different bytes were sent."""
        return sum(self.ends) - sum(self.starts)

    @property
    def holes(self) -> int:
        """How many stretches between the first and the last byte were never sent."""
        return max(0, len(self.starts) - 1)


class Side:
    """What one end of a connection has sent."""

    def __init__(self) -> None:
        self.base: int | None = None
        self.flags: set[tuple[int, int]] = set()
        self.sent = Sent()
        self.packets = self.bytes = self.keep_alives = 0
        self.rexmit = dict.fromkeys(KINDS, 0)

    def take(self, seq: int, length: int, flags: int, *, probe: bool) -> None:
        """Account for one segment."""
        if self.base is None:
            self.base = seq
        seq = (seq - self.base + 2**31) % 2**32 - 2**31
        self.packets += 1
        self.bytes += length
        if flags & SYN:
            self._flag("synack" if flags & ACK else "syn", SYN, seq)
        data = seq + bool(flags & SYN)
        if probe:
            self.keep_alives += 1
        elif length:
            self.rexmit["data"] += self.sent.add(data, data + length)
        if flags & FIN:
            self._flag("fin", FIN, data + length)

    def _flag(self, kind: str, flag: int, seq: int) -> None:
        self.rexmit[kind] += (flag, seq) in self.flags
        self.flags.add((flag, seq))


class Connection:
    """One TCP connection, as tshark numbers them."""

    def __init__(self, client: str, server: str, version: str, start: str) -> None:
        self.client, self.server, self.version, self.start = client, server, version, start
        self.end = start
        self.sides = (Side(), Side())
        self.handshake = [False, False]  # SYN seen, SYN/ACK seen
        self.fins = [False, False]
        self.reset = False
        self.requests: dict[str, int] = defaultdict(int)
        self.responses: dict[str, int] = defaultdict(int)


def endpoint(address: str, port: str) -> str:
    """Return "ip:port", IPv6 in brackets."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def output(command: list[str]) -> str:
    """Run a program and return what it printed."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def tshark(capture: str) -> list[dict[str, str]]:
    """Return the fields of every TCP packet."""
    command = ["tshark", "-n", "-r", capture, "-Y", "tcp", "-T", "fields", "-E", "separator=|"]
    for field in FIELDS:
        command += ["-e", field]
    return [dict(zip(FIELDS, line.split("|"), strict=True)) for line in output(command).splitlines()]


def connections(packets: list[dict[str, str]]) -> list[Connection]:
    """Run all packets through their connections."""
    found: dict[str, Connection] = {}
    for p in packets:
        version = "ipv6" if p["ipv6.src"] else "ipv4"
        source = endpoint(p["ip.src"] or p["ipv6.src"], p["tcp.srcport"])
        target = endpoint(p["ip.dst"] or p["ipv6.dst"], p["tcp.dstport"])
        c = found.setdefault(p["tcp.stream"], Connection(source, target, version, p["frame.time_epoch"]))
        side, flags = int(source != c.client), int(p["tcp.flags"], 16)
        probe = bool(p["tcp.analysis.keep_alive"] or p["tcp.analysis.zero_window_probe"])
        c.sides[side].take(int(p["tcp.seq_raw"]), int(p["tcp.len"]), flags, probe=probe)
        c.end = p["frame.time_epoch"]
        c.handshake[side] |= bool(flags & SYN)
        c.fins[side] |= bool(flags & FIN)
        c.reset |= bool(flags & RST)
        for name, into in (("http.request.method", c.requests), ("http.response.code", c.responses)):
            for value in filter(None, p[name].split(",")):
                into[value] += 1
    return list(found.values())


def total(group: list[Connection]) -> dict[str, object]:
    """Sum up a group of connections."""

    def pair(name: str) -> list[int]:
        return [sum(getattr(c.sides[i], name) for c in group) for i in (0, 1)]

    def counts(name: str) -> dict[str, int]:
        keys = sorted({key for c in group for key in getattr(c, name)})
        return {key: sum(getattr(c, name)[key] for c in group) for key in keys}

    return {
        "connections": len(group),
        "established": sum(all(c.handshake) for c in group),
        "with_rst": sum(c.reset for c in group),
        "closed_by_fins": sum(all(c.fins) and not c.reset for c in group),
        "open_at_end": sum(not all(c.fins) and not c.reset for c in group),
        "packets": pair("packets"),
        "bytes": pair("bytes"),
        "stream_bytes": [sum(c.sides[i].sent.length for c in group) for i in (0, 1)],
        "rexmit": {k: [sum(c.sides[i].rexmit[k] for c in group) for i in (0, 1)] for k in KINDS},
        "keep_alives": pair("keep_alives"),
        "holes": [sum(c.sides[i].sent.holes for c in group) for i in (0, 1)],
        "requests": counts("requests"),
        "responses": counts("responses"),
    }


def main() -> None:
    """Write the truth about the capture named on the command line."""
    packets = tshark(sys.argv[1])
    everything = connections(packets)
    busiest = max((c for c in everything), key=lambda c: sum(sum(s.rexmit.values()) for s in c.sides))
    servers = sorted({c.server for c in everything})
    truth = {
        "witness": output(["tshark", "--version"]).partition(" (Git")[0],
        "first_packet": packets[0]["frame.time_epoch"],
        "last_packet": packets[-1]["frame.time_epoch"],
        "tcp_packets": len(packets),
        "tshark_marks": {
            name: sum(bool(p[f"tcp.analysis.{name}"]) for p in packets)
            for name in ("retransmission", "out_of_order", "lost_segment")
        },
        "all": total(everything),
        "version": {v: total([c for c in everything if c.version == v]) for v in ("ipv4", "ipv6")},
        "server": {s: total([c for c in everything if c.server == s]) for s in servers},
        "connections_with_syn_rexmit": sum(c.sides[0].rexmit["syn"] > 0 for c in everything),
        "most_retransmissions": {"client": busiest.client, "server": busiest.server, **total([busiest])},
    }
    # Short lists and tables on one line each.
    text = json.dumps(truth, indent=1)
    text = re.sub(r"[\[{]\n[^\[\]{}]*[\]}]", lambda m: re.sub(r"\s*\n\s*", " ", m[0]), text)
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
