"""Frames and TCP conversations made for tests."""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass, field

import midsock as ms
from midsock import CLIENT, SERVER, Side

FIN, SYN, RST, PSH, ACK, URG, ECE, CWR, AE = (1 << bit for bit in range(9))
SECOND = 1_000_000_000
MILLISECOND = 1_000_000
START = 1_700_000_000 * SECOND
MSS_1460 = bytes([2, 4, 0x05, 0xB4])

Packet = tuple[int, bytes]


def checksum(data: bytes) -> int:
    """Give the Internet checksum (RFC 1071)."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def timestamps(value: int, echo: int) -> bytes:
    """Give a timestamp option with its padding (RFC 7323, section 3)."""
    return bytes([1, 1, 8, 10]) + struct.pack("!II", value, echo)


@dataclass(frozen=True)
class Peer:
    """One end of a conversation."""

    ip: str
    port: int
    mac: str


def tcp_frame(  # noqa: PLR0917 (the order of the header)
    source: Peer,
    destination: Peer,
    seq: int,
    ack: int,
    flags: int,
    data: bytes = b"",
    *,
    options: bytes = b"",
    window: int = 65_000,
    urgent: int = 0,
    vlans: tuple[int, ...] = (),
    ttl: int = 64,
    tos: int = 0,
    bad_checksum: bool = False,
) -> bytes:
    """Build an Ethernet frame of one TCP segment with right checksums, or with a wrong one of TCP's."""
    options += b"\0" * (-len(options) % 4)
    offset = (20 + len(options)) // 4
    header = struct.pack(
        "!HHIIBBHHH",
        source.port,
        destination.port,
        seq % 2**32,
        ack % 2**32,
        offset << 4 | flags >> 8,
        flags & 0xFF,
        window,
        0,
        urgent,
    )
    segment = header + options + data
    src, dst = ipaddress.ip_address(source.ip), ipaddress.ip_address(destination.ip)
    total = checksum(src.packed + dst.packed + struct.pack("!II", len(segment), 6) + segment)
    total ^= 0x5555 if bad_checksum else 0
    segment = segment[:16] + struct.pack("!H", total) + segment[18:]
    if src.version == 4:
        ip = struct.pack("!BBHHHBBH", 0x45, tos, 20 + len(segment), 0, 0x4000, ttl, 6, 0)
        ip += src.packed + dst.packed
        ip = ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:]
        ether_type = 0x0800
    else:
        ip = struct.pack("!IHBB", 6 << 28 | tos << 20, len(segment), 6, ttl) + src.packed + dst.packed
        ether_type = 0x86DD
    tags = b"".join(struct.pack("!HH", 0x8100, vlan) for vlan in vlans)
    macs = bytes.fromhex((destination.mac + source.mac).replace(":", ""))
    return macs + tags + struct.pack("!H", ether_type) + ip + segment


#: Bytes of an Ethernet header.
ETHER = 14


def parts(frame: bytes) -> tuple[bytes, bytes, bytes]:
    """Give Ethernet header, IP header and what is in the IP packet, without padding."""
    packet = frame[ETHER:]
    if packet[0] >> 4 == 4:
        start, end = (packet[0] & 15) * 4, struct.unpack_from("!H", packet, 2)[0]
    else:
        start, end = 40, 40 + struct.unpack_from("!H", packet, 4)[0]
    return frame[:ETHER], packet[:start], packet[start:end]


def ipv4(header: bytes, length: int, identification: int, fragment_field: int) -> bytes:
    """Give an IPv4 header like another, for `length` bytes."""
    header = (
        header[:2] + struct.pack("!HHH", len(header) + length, identification, fragment_field) + header[8:]
    )
    header = header[:10] + bytes(2) + header[12:]
    return header[:10] + struct.pack("!H", checksum(header)) + header[12:]


def udp_frame(payload: bytes = b"x") -> bytes:
    """Build an Ethernet frame of a UDP datagram without checksum."""
    udp = struct.pack("!HHHH", 5353, 5353, 8 + len(payload), 0) + payload
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0) + bytes([10, 0, 0, 1, 10, 0, 0, 2])
    ip = ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:]
    return bytes(12) + struct.pack("!H", 0x0800) + ip + udp


@dataclass
class Talk:
    """A conversation: what is sent becomes `packets`, a step of time apart, with right numbers."""

    client_ip: str = "10.0.0.1"
    server_ip: str = "10.0.0.2"
    client_port: int = 40_000
    server_port: int = 80
    isns: tuple[int, int] = (1_000, 5_000)
    now: int = START
    step: int = MILLISECOND
    vlans: tuple[int, ...] = ()
    packets: list[Packet] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Set both ends to where they begin."""
        self.peers = (
            Peer(self.client_ip, self.client_port, "02:00:00:00:00:01"),
            Peer(self.server_ip, self.server_port, "02:00:00:00:00:02"),
        )
        self.next = list(self.isns)

    def send(
        self,
        side: Side,
        flags: int = ACK,
        data: bytes = b"",
        *,
        offset: int | None = None,
        seq: int | None = None,
        ack: int | None = None,
        lost: bool = False,
        window: int = 65_000,
        options: bytes = b"",
        urgent: int = 0,
        ttl: int = 64,
        tos: int = 0,
        bad_checksum: bool = False,
    ) -> Talk:
        """Send a segment of `side`.


        the other side sent, unless `ack` is given. If it is `lost`, it is nowhere to be seen.
        """
        if offset is not None:
            seq = self.isns[side] + 1 + offset
        if seq is None:
            seq = self.next[side]
        if ack is None:
            ack = self.next[1 - side] if flags & ACK else 0
        end = seq + len(data) + bool(flags & SYN) + bool(flags & FIN)
        self.next[side] = max(self.next[side], end)
        self.now += self.step
        if not lost:
            frame = tcp_frame(
                self.peers[side],
                self.peers[1 - side],
                seq,
                ack,
                flags,
                data,
                options=options,
                window=window,
                urgent=urgent,
                vlans=self.vlans,
                ttl=ttl,
                tos=tos,
                bad_checksum=bad_checksum,
            )
            self.packets.append((self.now, frame))
        return self

    def wait(self, seconds: float) -> Talk:
        """Let time pass."""
        self.now += int(seconds * SECOND)
        return self

    def syn(self) -> Talk:
        """Send a SYN, the first or again."""
        return self.send(CLIENT, SYN, seq=self.isns[CLIENT], options=MSS_1460)

    def synack(self) -> Talk:
        """Send a SYN/ACK, the first or again."""
        return self.send(
            SERVER, SYN | ACK, seq=self.isns[SERVER], ack=self.isns[CLIENT] + 1, options=MSS_1460
        )

    def open(self) -> Talk:
        """Shake hands."""
        return self.syn().synack().send(CLIENT)

    def client(self, data: bytes, *, offset: int | None = None, lost: bool = False) -> Talk:
        """Send data of the client."""
        return self.send(CLIENT, ACK | PSH, data, offset=offset, lost=lost)

    def server(self, data: bytes, *, offset: int | None = None, lost: bool = False) -> Talk:
        """Send data of the server."""
        return self.send(SERVER, ACK | PSH, data, offset=offset, lost=lost)

    def close(self) -> Talk:
        """Close: FIN, FIN, ACK."""
        return self.send(CLIENT, FIN | ACK).send(SERVER, FIN | ACK).send(CLIENT)

    def rst(self, side: Side = CLIENT) -> Talk:
        """Reset."""
        return self.send(side, RST | ACK)

    def port(self, *, burst: int = 256) -> ms.MemoryPort:
        """Give a port of the packets so far."""
        return ms.MemoryPort(self.packets, burst=burst)

    def stack(self, *, burst: int = 256, midstream: bool = False) -> ms.Stack:
        """Give a stack of the packets so far."""
        return ms.Stack(self.port(burst=burst), midstream=midstream)


def merge(*talks: Talk) -> list[Packet]:
    """Give the packets of several conversations in the order of their time."""
    return sorted((packet for talk in talks for packet in talk.packets), key=lambda packet: packet[0])


def web(*, number: int = 0) -> Talk:
    """Give a conversation of one request and one response, opened and closed."""
    talk = Talk(client_port=40_000 + number, now=START + number * 50 * MILLISECOND)
    return talk.open().client(b"GET / HTTP/1.1\r\n\r\n").server(b"HTTP/1.1 200 OK\r\n\r\n").close()


def several(count: int = 5, *, burst: int = 256) -> ms.MemoryPort:
    """Give a port of as many conversations."""
    return ms.MemoryPort(merge(*(web(number=number) for number in range(count))), burst=burst)
