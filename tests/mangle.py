"""What a hostile path does to packets: loses, duplicates, reorders, splits and fragments them."""

from __future__ import annotations

import itertools
import struct
import typing
from collections import Counter
from dataclasses import dataclass, field

import midsock as ms
from frames import FIN, PSH, checksum

if typing.TYPE_CHECKING:
    import random

    from midsock import Side

#: How often in a thousand packets each thing is done.
RATES = {"lose": 20, "duplicate": 40, "reorder": 60, "split": 120, "fragment": 120}

ETHER = 14
#: Blocks of 8 bytes that a first fragment has at least: a TCP header with all its options.
FIRST = 8


@dataclass
class Mangler:
    """Mangles the packets of TCP connections between the two ports of a stack, at random."""

    stack: ms.Stack
    random: random.Random
    done: Counter[str] = field(default_factory=Counter)
    held: dict[tuple[int, Side], bytes] = field(default_factory=dict)

    def __call__(self, sock: ms.FlowSocket, event: ms.Event) -> ms.Verdict | None:
        """Decide about a packet."""
        frame, port = bytes(event.frame), 1 - event.side
        what = self.choose()
        late = self.held.pop((sock.id, event.side), None)
        frames = self.change(what, frame)
        if what == "reorder":
            self.held[sock.id, event.side] = frame
        if frames is not None:
            self.done[what] += 1
            for made in frames:
                self.stack.inject(made, port)
        if late is not None:
            self.stack.inject(late, port)
        return None if frames is None else ms.DROP

    def choose(self) -> str:
        """Give what is to be done to the next packet; mostly nothing."""
        at = self.random.randrange(1_000)
        for what, rate in RATES.items():
            if at < rate:
                return what
            at -= rate
        return ""

    def change(self, what: str, frame: bytes) -> list[bytes] | None:
        """Give what is to be sent instead of a frame; nothing if it is to be sent as it is."""
        match what:
            case "lose" | "reorder":
                return []
            case "duplicate":
                return [frame, frame]
            case "split":
                return split(frame, self.random)
            case "fragment":
                return fragment(frame, self.random)
        return None


def parts(frame: bytes) -> tuple[bytes, bytes, bytes]:
    """Give Ethernet header, IP header and what is in the IP packet, without padding."""
    packet = frame[ETHER:]
    if packet[0] >> 4 == 4:
        start, end = (packet[0] & 15) * 4, struct.unpack_from("!H", packet, 2)[0]
    else:
        start, end = 40, 40 + struct.unpack_from("!H", packet, 4)[0]
    return frame[:ETHER], packet[:start], packet[start:end]


def is_version_4(ip: bytes) -> bool:
    """Tell IPv4 from IPv6."""
    return ip[0] >> 4 == 4


def ipv4(header: bytes, length: int, identification: int, fragment_field: int) -> bytes:
    """Give an IPv4 header like another, for `length` bytes."""
    header = (
        header[:2] + struct.pack("!HHH", len(header) + length, identification, fragment_field) + header[8:]
    )
    header = header[:10] + bytes(2) + header[12:]
    return header[:10] + struct.pack("!H", checksum(header)) + header[12:]


def with_payload(ether: bytes, ip: bytes, segment: bytes) -> bytes:
    """Give a frame of a TCP segment, with right lengths and checksums."""
    if is_version_4(ip):
        addresses, header = ip[12:20], ipv4(ip, len(segment), 0, 0x4000)
    else:
        addresses, header = ip[8:40], ip[:4] + struct.pack("!H", len(segment)) + ip[6:]
    segment = segment[:16] + bytes(2) + segment[18:]
    total = checksum(addresses + struct.pack("!II", len(segment), 6) + segment)
    return ether + header + segment[:16] + struct.pack("!H", total) + segment[18:]


def split(frame: bytes, rng: random.Random) -> list[bytes] | None:
    """Make two segments of one, in any order."""
    ether, ip, segment = parts(frame)
    start = (segment[12] >> 4) * 4
    header, data = segment[:start], segment[start:]
    if len(data) < 2:
        return None
    at = rng.randrange(1, len(data))
    seq = struct.unpack_from("!I", header, 4)[0]
    first = header[:13] + bytes([header[13] & ~(FIN | PSH)]) + header[14:] + data[:at]
    second = header[:4] + struct.pack("!I", (seq + at) % 2**32) + header[8:] + data[at:]
    frames = [with_payload(ether, ip, part) for part in (first, second)]
    rng.shuffle(frames)
    return frames


def fragment(frame: bytes, rng: random.Random) -> list[bytes] | None:
    """Make two to four fragments of a packet, in any order."""
    ether, ip, payload = parts(frame)
    blocks = (len(payload) - 1) // 8
    if blocks < FIRST:
        return None
    count = min(rng.randrange(1, 4), blocks - FIRST + 1)
    cuts = sorted(rng.sample(range(FIRST, blocks + 1), count))
    bounds = [0, *(cut * 8 for cut in cuts), len(payload)]
    identification = rng.randrange(1, 2**16)
    frames = []
    for start, end in itertools.pairwise(bounds):
        data, more = payload[start:end], end < len(payload)
        if is_version_4(ip):
            header = ipv4(ip, len(data), identification, start // 8 | (0x2000 if more else 0))
        else:
            header = ip[:4] + struct.pack("!HB", len(data) + 8, 44) + ip[7:]
            header += struct.pack("!BBHI", ip[6], 0, start | more, identification)
        frames.append(ether + header + data)
    rng.shuffle(frames)
    return frames
