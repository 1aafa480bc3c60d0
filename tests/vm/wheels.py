"""Python packages for the guest, which has no network."""

import email
import hashlib
import pathlib
import re
import subprocess
import sys
import zipfile

PYTHON = "3.11"  # Debian 12's
# What the tests import besides midsock and what it depends on; pip puts them in.
_TEST_PACKAGES = ("pip", "hypothesis", "pytest", "pytest-asyncio", "pytest-benchmark")


class PipError(Exception):
    pass


def fetch(wheel: pathlib.Path, checkout: pathlib.Path, cache: pathlib.Path) -> list[pathlib.Path]:
    """Fetch the wheel's dependencies and the tests' ones, at the versions that the checkout pins."""
    # Hashes in a constraint would have to cover the wheel too.
    pins = re.findall(
        r"^([\w.-]+==\S+(?: *;[^\\\n]*)?)", (checkout / "requirements-dev.txt").read_text(), re.MULTILINE
    )
    constraints = "\n".join(pins)
    key = hashlib.sha256("\n".join((*_needs(wheel), *_TEST_PACKAGES, constraints)).encode())
    folder = cache / "wheels" / key.hexdigest()[:16]
    if not (folder / "complete").exists():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "constraints.txt").write_text(constraints + "\n")
        _pip(
            *("download", "--quiet", "--dest", str(folder), "--constraint", str(folder / "constraints.txt")),
            *("--python-version", PYTHON, "--only-binary", ":all:"),
            *("--platform", "manylinux_2_28_x86_64", "--platform", "manylinux2014_x86_64"),
            *(*_needs(wheel), *_TEST_PACKAGES),
            pythons=[sys.executable, str(checkout / ".venv/bin/python")],
        )
        (folder / "complete").touch()
    return sorted(w for w in folder.glob("*.whl") if w.name != wheel.name)


def _needs(wheel: pathlib.Path) -> list[str]:
    """Give what the wheel depends on, in pip's notation, without its extras."""
    with zipfile.ZipFile(wheel) as files:
        path = next(p for p in files.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", p))
        metadata = email.message_from_bytes(files.read(path))
    return [str(r) for r in metadata.get_all("Requires-Dist", []) if "extra ==" not in str(r)]


def _pip(*arguments: str, pythons: list[str]) -> None:
    for python in pythons:
        try:
            subprocess.run([python, "-m", "pip", "--version"], check=True, capture_output=True)
        except (FileNotFoundError, subprocess.CalledProcessError):
            continue
        done = subprocess.run(
            [python, "-m", "pip", "--disable-pip-version-check", *arguments],
            check=False,
            text=True,
            capture_output=True,
        )
        if done.returncode:
            raise PipError(f"pip {arguments[0]}: {done.stderr.strip()}")
        return
    raise PipError("no Python with pip: run `make build`, or install Debian's python3-pip")
