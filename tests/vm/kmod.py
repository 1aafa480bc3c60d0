"""What a Linux kernel module says of itself."""

import dataclasses
import pathlib
import re
import struct

_ELF_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")


class NotAModuleError(Exception):
    pass


@dataclasses.dataclass(frozen=True)
class Module:
    path: pathlib.Path
    name: str
    release: str  # of the kernel it was built for, as `uname -r` would print it
    vermagic: str
    depends: tuple[str, ...]

    @classmethod
    def read(cls, path: pathlib.Path) -> "Module":
        """Read a module that is not compressed."""
        try:
            info = _modinfo(path.read_bytes())
            name, vermagic = info["name"], info["vermagic"]
        except (ValueError, KeyError, struct.error) as error:
            message = f"{path} is not a kernel module for x86-64: {error}"
            raise NotAModuleError(message) from error
        depends = tuple(filter(None, info.get("depends", "").split(",")))
        return cls(path, name, vermagic.split()[0], vermagic, depends)


def _modinfo(image: bytes) -> dict[str, str]:
    """Give the `key=value` strings of the section .modinfo; of a repeated key the last."""
    if not image.startswith(b"\x7fELF\x02\x01"):
        raise ValueError("no 64-bit little-endian ELF file")
    header = _ELF_HEADER.unpack_from(image)
    start, size, count, names_index = header[6], header[11], header[12], header[13]
    sections = [_SECTION.unpack_from(image, start + size * i) for i in range(count)]
    if names_index >= count:
        raise ValueError("no section names")
    names_at = sections[names_index][4]
    for name, _type, _flags, _address, offset, length, *_rest in sections:
        if image[names_at + name :].startswith(b".modinfo\0"):
            entries = image[offset : offset + length].decode(errors="replace")
            return dict(re.findall(r"([^=\0]+)=([^\0]*)", entries))
    raise ValueError("no section .modinfo")
