"""Frames as they were on the wire."""

from __future__ import annotations

import socket
import struct

PACKET_AUXDATA = 8
SOL_PACKET = 263
TAGGED, HAS_PROTOCOL = 0x10, 0x40


def listen(raw: socket.socket) -> None:
    """Let a packet socket tell the VLAN tags that the kernel takes off."""
    raw.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)


def receive(raw: socket.socket) -> bytes:
    """Receive a frame, with the outer VLAN tag put back in its place."""
    frame, ancillary, _, _ = raw.recvmsg(65536, socket.CMSG_SPACE(20))
    for level, kind, data in ancillary:
        if (level, kind) == (SOL_PACKET, PACKET_AUXDATA):
            status, _, _, _, _, tci, protocol = struct.unpack("=IIIHHHH", data[:20])
            if status & TAGGED:
                ethertype = protocol if status & HAS_PROTOCOL else 0x8100
                return frame[:12] + struct.pack("!HH", ethertype, tci) + frame[12:]
    return frame
