#!/usr/bin/env python3
"""Ask tcpdump which flows its filters match, for the tests of scope filters.

    python3 tests/tools/scope_truth.py > tests/data/scope_truth.tsv

Needs tcpdump and /etc/services and /etc/protocols (Debian: tcpdump, netbase). Each tuple becomes the
first packet of a flow in a capture file, each filter is run over the file by `tcpdump -r`, and the table
says which packets came out.

In a file, tcpdump looks for a protocol right behind the VLAN tags that the filter names, so it overlooks
packets with more of them; scopes do not (see the scope module). The frames therefore keep as many tags as
the filter names and lose the rest, as they do on a live Linux interface, where the kernel takes them off.
Filters in which tcpdump lets a `vlan` shift what is not behind it in an and-chain are left to the unit
tests.
"""

import socket
import struct
import subprocess
import sys

TCP, UDP, ICMP, ICMP6, SCTP = 6, 17, 1, 58, 132

# source, source port, destination, destination port, outer VLAN, inner VLAN, protocol
FlowTuple = tuple[str, int, str, int, int, int, int]

TUPLES = [
    ("10.0.0.1", 40000, "10.0.0.2", 80, 0, 0, TCP),
    ("10.0.0.2", 80, "10.0.0.1", 40000, 0, 0, TCP),
    ("10.0.0.1", 40001, "192.168.1.7", 443, 0, 0, TCP),
    ("192.168.1.7", 22, "192.168.1.8", 22, 0, 0, TCP),
    ("192.168.2.1", 1024, "10.1.2.3", 21, 10, 0, TCP),
    ("10.1.2.3", 1025, "10.1.3.4", 20, 10, 20, TCP),
    ("172.16.5.4", 53, "10.0.2.9", 53, 0, 0, UDP),
    ("172.16.5.4", 33333, "10.0.2.9", 53, 20, 0, TCP),
    ("172.16.5.4", 5353, "224.0.0.251", 5353, 20, 10, UDP),
    ("1.2.3.4", 1, "5.6.7.8", 65535, 0, 0, TCP),
    ("1.2.3.4", 65535, "1.2.3.4", 1, 4095, 0, TCP),
    ("0.0.0.0", 68, "255.255.255.255", 67, 0, 0, UDP),  # noqa: S104 (an address of DHCP)
    ("2001:db8::1", 40000, "2001:db8::2", 80, 0, 0, TCP),
    ("2001:db8:0:1::1", 50000, "2001:db8:1::1", 443, 10, 0, TCP),
    ("fe80::1", 546, "fe80::2", 547, 0, 0, UDP),
    ("::1", 40000, "::1", 22, 0, 0, TCP),
    ("::ffff:10.0.0.1", 40000, "2001:db8::53", 53, 10, 20, TCP),
    ("10.0.0.1", 0, "10.0.0.2", 0, 0, 0, ICMP),
    ("2001:db8::1", 0, "2001:db8::2", 0, 0, 0, ICMP6),
    ("10.0.0.1", 2905, "10.0.0.9", 80, 0, 0, SCTP),
    ("100.64.0.1", 6000, "100.127.255.254", 6008, 20, 0, TCP),
    ("2001:db8::2", 80, "2001:db8::1", 40000, 20, 10, TCP),
]

FILTERS = r"""
tcp
udp
icmp
icmp6
sctp
ip
ip6
proto 6
proto \tcp
ip proto 6
ip proto \udp
ip6 proto 6
ip6 proto \ipv6-icmp
proto (6 or 17)
proto 0x84
esp or ah or vrrp or pim or igmp
host 10.0.0.1
src host 10.0.0.1
dst host 10.0.0.1
src 10.0.0.1
src or dst host 10.0.0.1
src and dst host 1.2.3.4
dst and src host 10.0.0.1
src || dst 10.0.0.1
ip host 10.0.0.1
ip src 10.0.0.1
host 010.000.00.1
host 2001:db8::1
ip6 host 2001:DB8:0::1
src host 2001:db8::1
src and dst host ::1
host ::ffff:10.0.0.1
net 10
net 10.1
net 10.1.2
net 10.1.2.3
net 192.168
src net 10
dst net 10
src net 10.0/8
src and dst net 10
net 10.0.0.0/8
net 10.0.0.0/31
net 10.0.0.0/30
net 0.0.0.0/0
net 1.2.3.4/32
net 100.64.0.0/10
net 100.64/10
net 192.168.0.0 mask 255.255.0.0
net 192.168 mask 255.255
net 10.0.2.0 mask 255.0.255.0
net 10.0 mask 255.0.0.0
net 2001:db8::/32
net 2001:db8::/48
src net 2001:db8:0:1::/64
ip6 net 2001:db8::/32
net 2001:db8::1
net ::/0
net fe80::/10
ip net 10
port 80
port 0x50
port 0120
src port 80
dst port 80
src or dst port 80
src and dst port 22
src and dst port 80
tcp port 80
tcp src port 80
tcp dst port 80
udp port 53
sctp port 80
udp dst port 53
port http
port https
port ssh
port domain
tcp port domain
port ftp or ftp-data
tcp dst port ftp or ftp-data or domain
tcp port 22 or 80 or 443
port 0
portrange 1-1024
portrange 1024-1
tcp portrange 1-1024
src portrange 40000-50000
dst portrange 6000-6008
src and dst portrange 6000-6008
portrange 80
portrange ftp-ssh
tcp portrange http-https
portrange 0-65535
port (80 or 443)
port not 80
port not (80 or 443)
not port 80
! tcp
!tcp
not not tcp
not (tcp or udp)
not tcp and udp
not tcp or udp
tcp and udp
tcp or udp
tcp && port 80 || udp
udp or tcp and port 80
udp or (tcp and port 80)
tcp and port 80 or udp and port 53
(tcp and port 80) or (udp and port 53)
tcp and (port 80 or port 443) and not host 10.0.0.1
tcp and port 80 or 443
host 10.0.0.1 and 10.0.0.2
host 10.0.0.1 and not 10.0.0.2
not host 10.0.0.1 and 1.2.3.4
not host 10.0.0.1 and not 1.2.3.4
host 10.0.0.1 and (10.0.0.2 or 192.168.1.7)
host 10.0.0.1 or 2001:db8::1
host 10.0.0.1 and (port 80) or 1.2.3.4
ip host 10.0.0.1 or 10.1.2.3
ip and not net 10
ip6 and tcp
src net 10 and dst net 192.168
src net 1.2.3.4 or dst net 10 and 192.168
net 10.1.2.3/32 or 192.168/16
((((port 80))))
not (not (not (host 10.0.0.1 and port 80) or udp) and ip)
vlan
vlan 10
vlan 20
vlan 0xa
vlan (10)
vlan 4095
not vlan
not vlan 10
vlan and tcp
vlan 10 and tcp
vlan 10 and ip6
vlan 10 and host 10.1.2.3
vlan 10 and tcp port 20 or 21
vlan 10 and (port 20 or port 443)
vlan 20 and not udp
vlan and vlan
vlan and vlan 20
vlan 10 and vlan 20
vlan 20 and vlan 10
vlan 10 and vlan 20 and ip6
vlan 20 and (vlan 10 and udp)
vlan 10 and not vlan 20
vlan and vlan and tcp port 80
""".strip().split("\n")


def address(text: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)


def frame(tuple_: FlowTuple, tags: int) -> bytes:
    """The first packet of a flow, with at most `tags` of its VLAN tags."""
    source, source_port, destination, destination_port, outer, inner, protocol = tuple_
    ports = struct.pack("!HH", source_port, destination_port)
    payload = {
        TCP: ports + struct.pack("!IIBBHHH", 1, 0, 0x50, 0x02, 65535, 0, 0),
        UDP: ports + struct.pack("!HH", 8, 0),
        SCTP: ports + bytes(8),
        ICMP: bytes([8]) + bytes(7),
        ICMP6: bytes([128]) + bytes(7),
    }[protocol]
    addresses = address(source) + address(destination)
    if ":" in source:
        ethertype, header = 0x86DD, struct.pack("!IHBB", 6 << 28, len(payload), protocol, 64)
    else:
        ethertype = 0x0800
        header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 0, 0, 64, protocol, 0)
    vlans = [vlan for vlan in (outer, inner) if vlan][:tags]
    types = [0x88A8, 0x8100][-len(vlans) :] if vlans else []
    vlan_headers = b"".join(struct.pack("!HH", *tag) for tag in zip(types, vlans, strict=True))
    return bytes(12) + vlan_headers + struct.pack("!H", ethertype) + header + addresses + payload


def capture(tags: int) -> bytes:
    """A capture file; the second in which a packet was received is the index of its tuple."""
    records = [struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)]
    for index, tuple_ in enumerate(TUPLES):
        data = frame(tuple_, tags)
        records += [struct.pack("<IIII", index, 0, len(data), len(data)), data]
    return b"".join(records)


def matched(filter_: str) -> list[int]:
    """The indices of the tuples that tcpdump's filter matches."""
    output = subprocess.run(
        ["tcpdump", "-r", "-", "-w", "-", filter_],
        input=capture(filter_.count("vlan")),
        capture_output=True,
        check=False,
    )
    if b"expression rejects all packets" in output.stderr:
        return []
    if output.returncode != 0:
        sys.exit(f"{filter_}: {output.stderr.decode()}")
    at, indices = 24, []
    while at < len(output.stdout):
        index, _, length, _ = struct.unpack_from("<IIII", output.stdout, at)
        indices.append(index)
        at += 16 + length
    return indices


def main() -> None:
    version = subprocess.run(["tcpdump", "--version"], capture_output=True, text=True, check=True)
    print("# Made by tests/tools/scope_truth.py with", " and ".join(version.stdout.splitlines()[:2]))
    print("# tuple\tsource\tsource port\tdestination\tdestination port\touter VLAN\tinner VLAN\tprotocol")
    for tuple_ in TUPLES:
        print("tuple", *tuple_, sep="\t")
    print("# filter\ttext\tindices of the tuples it matches")
    for filter_ in FILTERS:
        print("filter", filter_, " ".join(map(str, matched(filter_))), sep="\t")


if __name__ == "__main__":
    main()
