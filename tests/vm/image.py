"""The guest: a Debian kernel, and a root file system that it unpacks into memory."""

import dataclasses
import hashlib
import pathlib
import re
import shlex
import tempfile
import zipfile
from collections.abc import Callable, Iterable

from vm import cpio, debian, kmod

GUEST = pathlib.Path(__file__).parent / "guest"

_PACKAGES = (
    *("base-files", "busybox-static", "python3", "iproute2", "iputils-ping", "ethtool", "procps"),
    *("curl", "iperf3", "nginx-light", "netbase", "tcpdump", "wrk"),
)
# Wanted by what they say they depend on, but only for installation or for parts that are not used here.
_LEFT_OUT = re.compile(
    r"(perl|libperl|perl-modules|dpkg|debconf|adduser|usrmerge|passwd|tar|libdb5)[\d.-]*_|perl-"
)
_NEEDLESS = re.compile(
    r"usr/share/(doc|man|locale|info|lintian|bug|perl|zoneinfo|common-licenses|bash-completion)(/|$)"
    r"|usr/lib/python3\.11/(test|ensurepip|idlelib|lib2to3|EXTERNALLY-MANAGED)(/|$)"
)
# Of the kernel; each comes with those it depends on.
_KERNEL_MODULES = ("veth", "bridge", "dummy", "tun", "8021q", "sch_netem")
_ACCOUNTS = """\
root:x:0:0:root:/root:/bin/sh
www-data:x:33:33::/var/www:/bin/false
nobody:x:65534:65534::/nonexistent:/bin/false
"""
_GROUPS = "root:x:0:\nadm:x:4:\nwww-data:x:33:\nnogroup:x:65534:\n"
_HOSTS = "127.0.0.1 localhost\n::1 localhost\n"


class ImageError(Exception):
    pass


@dataclasses.dataclass(frozen=True)
class Image:
    kernel: pathlib.Path
    archives: tuple[pathlib.Path, ...]  # unpacked one over the other


def kernel_package(apt: debian.Apt, module: kmod.Module) -> pathlib.Path:
    """Fetch the kernel that the module was built for."""
    releases = apt.kernels()
    if module.release not in releases:
        apt.update(force=True)
        releases = apt.kernels()
    if module.release not in releases:
        standard = [r for r in releases if not re.search("rt|cloud", r)] or ["?"]
        raise ImageError(
            f"{module.path} was built for the kernel {module.release} (vermagic: {module.vermagic}), which "
            f"Debian's {debian.SUITE} does not have. Build it against linux-headers-{standard[0]}, or give "
            f"the package of its kernel with --kernel-package. The archive has {', '.join(standard)}."
        )
    return apt.fetch_one(f"linux-image-{module.release}")


def system(apt: debian.Apt, cache: pathlib.Path) -> pathlib.Path:
    """Give the archive with Debian's programs; make it unless the cache has it."""
    packages = apt.fetch(*_PACKAGES, leave_out=_LEFT_OUT)

    def fill(archive: cpio.Cpio) -> None:
        archive.merge_usr()
        for package in packages:
            archive.package(package, lambda path: not _NEEDLESS.match(path))
        for folder in ("dev", "proc", "root", "run", "sys", "tmp", "var/log/nginx", "var/lib/nginx"):
            archive.folder(folder)
        archive.symlink("var/run", "/run")
        archive.symlink("bin/sh", "busybox")
        for path, content in (("passwd", _ACCOUNTS), ("group", _GROUPS), ("hosts", _HOSTS)):
            archive.file(f"etc/{path}", content.encode())

    return _cached(cache, "system", (p.name for p in packages), fill)


def kernel(package: pathlib.Path, module: kmod.Module, cache: pathlib.Path) -> Image:
    """Unpack a kernel's package; give it and the archive with those of its modules that are needed."""
    folder = cache / package.name.removesuffix(".deb")
    if not (folder / "complete").exists():
        folder.mkdir(parents=True, exist_ok=True)
        cpio.unpack(package, folder)
        (folder / "complete").touch()
    boots = sorted(folder.glob("boot/vmlinuz-*"))
    if [b.name for b in boots] != [f"vmlinuz-{module.release}"]:
        raise ImageError(
            f"{module.path} was built for the kernel {module.release}, but {package.name} holds "
            f"{', '.join(b.name for b in boots) or 'no kernel'}"
        )
    files = {m.stem.replace("-", "_"): m for m in folder.glob("lib/modules/*/kernel/**/*.ko")}
    order: list[pathlib.Path] = []

    def need(name: str) -> None:
        if name not in files:
            raise ImageError(f"{package.name} has no module {name}")
        for other in kmod.Module.read(files[name]).depends:
            need(other.replace("-", "_"))
        if files[name] not in order:
            order.append(files[name])

    for name in (*_KERNEL_MODULES, *module.depends):
        need(name.replace("-", "_"))

    def fill(archive: cpio.Cpio) -> None:
        for number, file in enumerate(order):
            archive.file(f"opt/kernel/{number:02}-{file.name}", file.read_bytes())

    names = [package.name, *(f.name for f in order)]
    return Image(boots[0], (_cached(cache, "modules", names, fill),))


def python(wheels: Iterable[pathlib.Path], cache: pathlib.Path) -> pathlib.Path:
    """Give the archive with Python packages unpacked: pip needs ten times as long for it in the guest."""
    wheels = list(wheels)

    def fill(archive: cpio.Cpio) -> None:
        for wheel in wheels:
            with zipfile.ZipFile(wheel) as files:
                for path in files.namelist():
                    if ".data/" in path.split("/", 1)[0] + "/":
                        raise ImageError(f"{wheel.name} has more than modules: {path}")
                    if not path.endswith("/"):
                        archive.file(f"usr/local/lib/python3.11/dist-packages/{path}", files.read(path))

    return _cached(cache, "python", (w.name for w in wheels), fill)


def job(
    out: pathlib.Path,
    *,
    command: list[str],
    environment: dict[str, str],
    module: kmod.Module,
    programs: Iterable[pathlib.Path],
    wheel: pathlib.Path,
    checkout: pathlib.Path,
) -> pathlib.Path:
    """Write the archive with what this one run is about."""
    with out.open("wb") as file:
        archive = cpio.Cpio(file)
        archive.copy(GUEST / "init", "init")
        archive.copy(module.path, "opt/netmap.ko")
        for program in programs:
            archive.copy(program, f"opt/bin/{program.name}")
        archive.copy(wheel, f"opt/{wheel.name}")
        archive.copy(checkout / "tests", "midsock/tests")
        archive.copy(checkout / "examples", "midsock/examples")
        archive.copy(checkout / "pyproject.toml", "midsock/pyproject.toml")
        exports = "".join(f"export {key}={shlex.quote(value)}\n" for key, value in environment.items())
        archive.file("midsock/job", f"{exports}exec {shlex.join(command)}\n".encode())
        archive.finish()
    return out


def _cached(
    cache: pathlib.Path, name: str, inputs: Iterable[str], fill: Callable[[cpio.Cpio], None]
) -> pathlib.Path:
    """Give an archive made before from the same inputs by the same code, or make it."""
    code = b"".join(pathlib.Path(f).read_bytes() for f in (__file__, cpio.__file__))
    key = hashlib.sha256("\n".join(inputs).encode() + code).hexdigest()[:16]
    path = cache / f"{name}-{key}.cpio"
    if not path.exists():
        folder = pathlib.Path(tempfile.mkdtemp(dir=cache))
        with (folder / path.name).open("wb") as out:
            archive = cpio.Cpio(out, compile_python=True)
            fill(archive)
            archive.finish()
        for outdated in cache.glob(f"{name}-*.cpio"):
            outdated.unlink()
        (folder / path.name).replace(path)
        folder.rmdir()
    return path
