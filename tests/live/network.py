"""Two hosts with a middle between them, as namespaces."""

from __future__ import annotations

import pathlib
import time
import typing

from live.namespace import Namespace

if typing.TYPE_CHECKING:
    from types import TracebackType


class Network:
    """Namespaces client - veth - middle - veth - server, with one subnet of IPv4 and one of IPv6.

    The hosts' interfaces are called `eth0`; those of the middle, `left` to the client and `right` to the
    server, have no addresses, and nothing joins them until a test does, with midsock or by `bridge`. Without
    a middle one veth joins the hosts. Offloads are off unless switched on.
    """

    CLIENT, SERVER = "10.77.0.1", "10.77.0.2"
    CLIENT6, SERVER6 = "fd77::1", "fd77::2"
    CLIENT_MAC, SERVER_MAC = "02:00:00:00:77:01", "02:00:00:00:77:02"

    client: Namespace
    server: Namespace
    #: The client itself if there is no middle.
    middle: Namespace

    def __init__(self, *, middle: bool = True, offloads: bool = False, mtu: int = 1500) -> None:
        self._made: list[Namespace] = []
        try:
            self.client, self.server = self._make("client"), self._make("server")
            if middle:
                self.middle = self._make("middle")
                self._join(self.client, "eth0", self.middle, "left", mtu)
                self._join(self.middle, "right", self.server, "eth0", mtu)
            else:
                self.middle = self.client
                self._join(self.client, "eth0", self.server, "eth0", mtu)
            self._address(self.client, self.CLIENT_MAC, self.CLIENT, self.CLIENT6)
            self._address(self.server, self.SERVER_MAC, self.SERVER, self.SERVER6)
            for namespace, interface in self.ends():
                namespace.set_link(interface, up=True)
            self.offloads(on=offloads)
            self._wait_for_links()
            self._links = {namespace.name: set(namespace.links()) for namespace in self._made}
        except BaseException:
            self.remove()
            raise

    def _make(self, role: str) -> Namespace:
        namespace = Namespace(role)
        self._made.append(namespace)
        if role == "middle":
            # Nothing of its own may be seen on the wire.
            namespace.sysctl("ipv6/conf/default/disable_ipv6", 1)
            namespace.sysctl("ipv6/conf/all/disable_ipv6", 1)
        else:
            # Addresses hold at once, and nobody looks for a router.
            namespace.sysctl("ipv6/conf/default/accept_dad", 0)
            namespace.sysctl("ipv6/conf/default/router_solicitations", 0)
        return namespace

    @staticmethod
    def _join(near: Namespace, name: str, far: Namespace, far_name: str, mtu: int) -> None:
        near.ip(
            *("link", "add", name, "mtu", mtu, "type", "veth"),
            *("peer", "name", far_name, "mtu", mtu, "netns", far.name),
        )

    @staticmethod
    def _address(namespace: Namespace, mac: str, ipv4: str, ipv6: str) -> None:
        namespace.ip("link", "set", "eth0", "address", mac)
        namespace.ip("address", "add", f"{ipv4}/24", "dev", "eth0")
        namespace.ip("address", "add", f"{ipv6}/64", "dev", "eth0", "nodad")

    def _wait_for_links(self) -> None:
        """Wait until both ends of each veth know that the other one is up."""
        deadline = time.monotonic() + 30
        for namespace, interface in self.ends():
            while namespace.links()[interface]["operstate"] != "UP":
                if time.monotonic() > deadline:
                    raise AssertionError(f"{interface} in {namespace} does not come up")
                time.sleep(0.01)

    def namespaces(self) -> list[Namespace]:
        return list(self._made)

    def ends(self) -> list[tuple[Namespace, str]]:
        """Give all ends of the veths, with the namespace that each is in."""
        hosts = [(self.client, "eth0"), (self.server, "eth0")]
        return (
            hosts if self.middle is self.client else [*hosts, (self.middle, "left"), (self.middle, "right")]
        )

    def offloads(self, *, on: bool) -> None:
        """Switch offloads on both veths: on, frames of up to 64 KiB with unfinished checksums cross them."""
        for namespace, interface in self.ends():
            namespace.offloads(interface, on=on)

    def neighbours(self) -> None:
        """Let the hosts know each other's MAC addresses, so that only the test's own packets are sent."""
        for namespace, mac, addresses in (
            (self.client, self.SERVER_MAC, (self.SERVER, self.SERVER6)),
            (self.server, self.CLIENT_MAC, (self.CLIENT, self.CLIENT6)),
        ):
            for address in addresses:
                namespace.ip("neigh", "replace", address, "lladdr", mac, "nud", "permanent", "dev", "eth0")

    def bridge(self) -> None:
        """Join the hosts by the kernel's own bridge, for tests that only listen, and to compare with."""
        self.middle.ip("link", "add", "bridge", "type", "bridge", "stp_state", 0, "mcast_snooping", 0)
        for interface in ("left", "right"):
            self.middle.ip("link", "set", interface, "master", "bridge")
        self.middle.set_link("bridge", up=True)

    def unbridge(self) -> None:
        """Undo `bridge`."""
        self.middle.delete_link("bridge")

    def leftovers(self) -> list[str]:
        """Tell what is in the namespaces that a test should have taken away again."""
        found: list[str] = []
        for namespace in self._made:
            found.extend(f"process {pid} in {namespace}" for pid in namespace.pids())
            for name, link in namespace.links().items():
                if name not in self._links[namespace.name] and name != "bridge":
                    found.append(f"interface {name} in {namespace}")
                if "xdp" in link:
                    found.append(f"XDP program on {name} in {namespace}: {link['xdp']}")
                # A packet socket or port that is still there may hold an interface in promiscuous mode.
                if link.get("promiscuity", 0) and link.get("master") is None and name != "bridge":
                    found.append(f"{name} in {namespace} is promiscuous")
            with namespace.entered(), pathlib.Path("/proc/thread-self/net/packet").open() as table:
                sockets = len(table.readlines()) - 1
            if sockets:
                found.append(f"{sockets} packet sockets in {namespace}")
            xdp = namespace.run("ss", "--xdp", "--no-header", check=False).stdout.strip()
            if xdp:
                found.append(f"AF_XDP sockets in {namespace}: {xdp}")
        return found

    def remove(self) -> None:
        for namespace in reversed(self._made):
            namespace.remove()
        self._made.clear()

    def __enter__(self) -> typing.Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()


class MakeNetwork(typing.Protocol):
    """What the fixture `make_network` gives."""

    def __call__(self, *, middle: bool = True, offloads: bool = False, mtu: int = 1500) -> Network: ...
