"""An emulated /dev/netmap for tests, as a library that is preloaded into processes; see README.md."""

import os
import pathlib
import subprocess
import tempfile

HERE = pathlib.Path(__file__).parent
FLAGS = ["-std=gnu11", "-O2", "-g", "-fPIC", "-shared", "-fvisibility=hidden", "-Wall", "-Wextra", "-Werror"]
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"]
PROJECT = HERE.parent.parent


def library(*, sanitize: bool = False) -> pathlib.Path:
    """Give the library's path, building it first where a source is newer; raise with gcc's own words."""
    built = (
        PROJECT / "target" / "netmap_emulation" / f"libnetmap_emulation{'_sanitized' if sanitize else ''}.so"
    )
    sources = sorted(HERE.glob("*.c"))
    newest = max(path.stat().st_mtime for path in [*sources, *HERE.glob("*.h"), pathlib.Path(__file__)])
    if built.exists() and built.stat().st_mtime > newest:
        return built
    built.parent.mkdir(parents=True, exist_ok=True)
    # Built beside its place and moved there: other processes may be building, or running, it.
    with tempfile.TemporaryDirectory(dir=built.parent) as folder:
        output = pathlib.Path(folder) / built.name
        options = [*FLAGS, *(SANITIZERS if sanitize else []), "-o", str(output)]
        command = ["gcc", *options, *map(str, sources), "-ldl", "-pthread"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"gcc failed:\n{done.stderr}")
        output.replace(built)
    return built


def environment(directory: pathlib.Path, *, sanitize: bool = False, **settings: int) -> dict[str, str]:
    """Give a process environment in which /dev/netmap is emulated, its state in `directory`.

    Processes with the same directory share pipes, switches and NICs. `settings` are README.md's in lower
    case, for example `slots=1000`; the first process of a directory decides.
    """
    preload = [str(library(sanitize=sanitize))]
    result = dict(os.environ)
    if sanitize:
        # The sanitizer's own library must come first; its leak check would judge all of the host program.
        names = ["libasan.so", "libubsan.so"]
        asan = [
            subprocess.check_output(["gcc", f"-print-file-name={name}"], text=True).strip() for name in names
        ]
        preload = [*asan, *preload]
        result["ASAN_OPTIONS"] = "detect_leaks=0:abort_on_error=1"
        result["UBSAN_OPTIONS"] = "print_stacktrace=1"
    result["LD_PRELOAD"] = " ".join(preload)
    result["MIDSOCK_NETMAP_EMULATION"] = str(directory)
    result.update(
        {f"MIDSOCK_NETMAP_EMULATION_{name.upper()}": str(value) for name, value in settings.items()}
    )
    return result


def faults(directory: pathlib.Path) -> list[str]:
    """Give what programs did that would harm the kernel, or that it would silently correct; best is none."""
    path = directory / "faults"
    return path.read_text().splitlines() if path.exists() else []
