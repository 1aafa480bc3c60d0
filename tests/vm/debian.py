"""Debian's packages: resolved by apt in directories of our own, which needs neither root nor bookworm."""

import dataclasses
import pathlib
import re
import subprocess
import time

SUITE = "bookworm"
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_SOURCES = f"""\
deb [signed-by={_KEYRING}] http://deb.debian.org/debian {SUITE} main
deb [signed-by={_KEYRING}] http://deb.debian.org/debian {SUITE}-updates main
deb [signed-by={_KEYRING}] http://deb.debian.org/debian-security {SUITE}-security main
"""
_LISTS_ARE_FRESH = 86400  # s


class AptError(Exception):
    pass


@dataclasses.dataclass(frozen=True)
class Apt:
    """An apt whose machine has nothing installed yet."""

    root: pathlib.Path

    @classmethod
    def at(cls, root: pathlib.Path) -> "Apt":
        apt = cls(root.absolute())
        for folder in ("lists/partial", "archives/partial", "packages"):
            (apt.root / folder).mkdir(parents=True, exist_ok=True)
        (apt.root / "sources.list").write_text(_SOURCES)
        (apt.root / "status").touch()
        if not pathlib.Path(_KEYRING).exists():
            raise AptError("apt can't check Debian's signatures: install debian-archive-keyring")
        return apt

    def update(self, *, force: bool = False) -> None:
        """Fetch the lists of packages, unless those at hand are fresh."""
        stamp = self.root / "updated"
        if force or not stamp.exists() or time.time() - stamp.stat().st_mtime > _LISTS_ARE_FRESH:
            self._run("apt-get", "-qq", "update")
            stamp.touch()

    def kernels(self) -> list[str]:
        """Give the releases of the kernels that the archive has, for example 6.1.0-37-amd64, newest first."""
        names = self._run("apt-cache", "pkgnames", "linux-image-").split()
        releases = [m[1] for n in names if (m := re.fullmatch(r"linux-image-(\d\S*-\d+-amd64)", n))]
        return sorted(releases, key=lambda r: [int(n) for n in re.findall(r"\d+", r)], reverse=True)

    def fetch(self, *packages: str, leave_out: re.Pattern[str] | None = None) -> list[pathlib.Path]:
        """Fetch the packages and all that they depend on, except what matches; give the files."""
        wanted = self._run("apt-get", "-qq", "--print-uris", "install", *packages)
        names = [m[1] for m in re.finditer(r"^'[^']+' (\S+) ", wanted, re.MULTILINE)]
        names = [n for n in names if not (leave_out and leave_out.match(n))]
        # Apart from apt's own archives, whose files --print-uris would not name again.
        files = [self.root / "packages" / n for n in names]
        if missing := [f.name.split("_") for f in files if not f.exists()]:
            versions = [f"{p}={v.replace('%3a', ':')}" for p, v, _architecture in missing]
            self._run("apt-get", "-qq", "download", *versions, cwd=self.root / "packages")
        if lost := [f.name for f in files if not f.exists()]:
            raise AptError(f"apt did not fetch {', '.join(lost)}")
        return files

    def fetch_one(self, package: str) -> pathlib.Path:
        """Fetch this package alone."""
        return self.fetch(package, leave_out=re.compile(rf"(?!{re.escape(package)}_)"))[0]

    def _run(self, program: str, *arguments: str, cwd: pathlib.Path | None = None) -> str:
        options = {
            "Dir::Etc::SourceList": self.root / "sources.list",
            "Dir::Etc::SourceParts": "/dev/null",
            "Dir::Etc::Preferences": "/dev/null",
            "Dir::Etc::PreferencesParts": "/dev/null",
            "Dir::State::Lists": self.root / "lists",
            "Dir::State::Status": self.root / "status",
            "Dir::Cache": self.root,
            "APT::Architecture": "amd64",
            "APT::Architectures": "amd64",
            "APT::Install-Recommends": "false",
            "APT::Sandbox::User": "",  # the user _apt may not read a cache in somebody's home
            "Debug::NoLocking": "true",  # else the machine's own lock would be asked for
        }
        settings = [f"-o{key}={value}" for key, value in options.items()]
        try:
            done = subprocess.run(
                [program, *settings, *arguments], cwd=cwd, check=True, text=True, capture_output=True
            )
        except FileNotFoundError as error:
            raise AptError(f"{program} is missing: this needs Debian or a system derived from it") from error
        except subprocess.CalledProcessError as error:
            raise AptError(f"{program} {' '.join(arguments)}: {error.stderr.strip()}") from error
        return done.stdout
