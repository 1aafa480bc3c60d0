"""The archives that Linux unpacks as its first root file system, written without root's rights."""

import importlib.util
import io
import marshal
import pathlib
import posixpath
import stat
import subprocess
import sys
import tarfile
import warnings
from collections.abc import Callable
from typing import BinaryIO

# Debian 12 keeps these in /usr, although its packages still name them so.
_MERGED = ("bin", "sbin", "lib", "lib64")
_TAG = "cpython-311"  # of Debian 12's Python; compiled is only where the same one runs this


class Cpio:
    """Writes one archive in the format "newc"; all files belong to root."""

    def __init__(self, out: BinaryIO, *, compile_python: bool = False) -> None:
        self._out = out
        self._compile = compile_python and sys.implementation.cache_tag == _TAG
        self._inode = 0
        self._folders: set[str] = set()
        self._links: set[str] = set()

    def merge_usr(self) -> None:
        for name in _MERGED:
            self.symlink(name, f"usr/{name}")
            self.folder(f"usr/{name}")

    def folder(self, path: str, mode: int = 0o755) -> None:
        path = _clean(path)
        if path in self._folders or path in self._links or not path:
            return
        self.folder(posixpath.dirname(path))
        self._folders.add(path)
        self._entry(path, stat.S_IFDIR | mode, b"")

    def symlink(self, path: str, target: str) -> None:
        path = _clean(path)
        if path in self._links or path in self._folders:
            return
        self.folder(posixpath.dirname(path))
        self._links.add(path)
        self._entry(path, stat.S_IFLNK | 0o777, target.encode())

    def file(self, path: str, content: bytes, mode: int = 0o644) -> None:
        path = _clean(path)
        folder, name = posixpath.split(path)
        self.folder(folder)
        self._entry(path, stat.S_IFREG | mode, content)
        if name.endswith(".py") and self._compile and (code := _bytecode(path, content)):
            self.file(f"{folder}/__pycache__/{name.removesuffix('.py')}.{_TAG}.pyc", code)

    def copy(self, source: pathlib.Path, path: str) -> None:
        """Add a file or, with all that is in it, a folder."""
        if source.is_dir():
            for inner in sorted(source.iterdir()):
                if inner.name != "__pycache__":
                    self.copy(inner, f"{path}/{inner.name}")
        else:
            self.file(path, source.read_bytes(), source.stat().st_mode & 0o777)

    def package(self, deb: pathlib.Path, wanted: Callable[[str], bool]) -> None:
        """Add the wanted files of a Debian package; its scripts are not run."""
        unpacked = subprocess.run(["dpkg-deb", "--fsys-tarfile", deb], check=True, capture_output=True)
        with tarfile.open(fileobj=io.BytesIO(unpacked.stdout)) as tar:
            for member in tar:
                path = _clean(member.name)
                if not wanted(path):
                    continue
                if path.split("/")[0] in _MERGED:
                    path = f"usr/{path}"
                if member.isdir():
                    self.folder(path, member.mode)
                elif member.issym():
                    self.symlink(path, member.linkname)
                elif content := tar.extractfile(member):  # of a hard link: what it links to
                    self.file(path, content.read(), member.mode)

    def finish(self) -> None:
        self._inode = -1
        self._entry("TRAILER!!!", 0, b"")
        self._out.write(bytes(-self._out.tell() % 512))

    def _entry(self, path: str, mode: int, content: bytes) -> None:
        self._inode += 1
        name = path.encode() + b"\0"
        links, owner, time, device, check = 1, 0, 0, 0, 0
        fields = (
            *(self._inode, mode, owner, owner, links, time, len(content)),
            *(device, device, device, device, len(name), check),
        )
        header = b"070701" + b"".join(b"%08X" % f for f in fields)
        self._out.write(header + name + bytes(-(len(header) + len(name)) % 4))
        self._out.write(content + bytes(-len(content) % 4))


def _bytecode(path: str, source: bytes) -> bytes | None:
    """Compile for an import that does not look at the file's time; it takes the guest ten times as long."""
    try:
        with warnings.catch_warnings(action="ignore"):
            code = compile(source, f"/{path}", "exec", dont_inherit=True, optimize=0)
    except (SyntaxError, ValueError):  # templates, and tests of Python itself
        return None
    unchecked = (1).to_bytes(4, "little")
    head = importlib.util.MAGIC_NUMBER + unchecked + importlib.util.source_hash(source)
    return head + marshal.dumps(code)


def unpack(deb: pathlib.Path, folder: pathlib.Path) -> None:
    """Unpack a Debian package into a folder."""
    subprocess.run(["dpkg-deb", "--extract", deb, folder], check=True)


def _clean(path: str) -> str:
    return posixpath.normpath("/" + path).lstrip("/")
