"""QEMU, emulating in software: needs no rights and no hardware support."""

import dataclasses
import os
import pathlib
import shutil
import subprocess
import tempfile

from vm import image

# The guest ends the machine by writing its exit code, plus one, to this I/O port.
_EXIT_PORT = 0xF4
_KERNEL_OPTIONS = (
    *("console=ttyS0", "loglevel=6", "panic=-1", "oops=panic"),
    *("mitigations=off", "no5lvl", "nokaslr", "no_timer_check", "tsc=reliable"),
    "watchdog_thresh=60",  # a busy host's pauses are no lockups, which init would take for the module's fault
)


class MachineError(Exception):
    pass


@dataclasses.dataclass(frozen=True)
class Machine:
    image: image.Image
    cpus: int
    memory: int  # MiB
    console: pathlib.Path  # takes what the kernel says
    kernel_options: tuple[str, ...] = ()

    def run(self, *, timeout: float, interactive: bool = False) -> int:
        """Boot, pass on what the guest prints, and give its exit code."""
        program = shutil.which("qemu-system-x86_64")
        if program is None:
            raise MachineError("qemu-system-x86_64 is missing: apt-get install qemu-system-x86")
        self.console.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=self.console.parent, suffix=".cpio") as initrd:
            for archive in self.image.archives:
                with archive.open("rb") as part:
                    shutil.copyfileobj(part, initrd)
            initrd.flush()
            options = (
                *(
                    "-accel",
                    "tcg,thread=multi",
                    "-cpu",
                    "max",
                    "-smp",
                    str(self.cpus),
                    "-m",
                    f"{self.memory}M",
                ),
                *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
                *("-kernel", str(self.image.kernel), "-initrd", initrd.name),
                *("-append", " ".join((*_KERNEL_OPTIONS, *self.kernel_options))),
                *("-serial", f"file:{self.console}"),
                *(
                    "-chardev",
                    f"stdio,id=out,signal={'off' if interactive else 'on'}",
                    "-serial",
                    "chardev:out",
                ),
                *("-device", f"isa-debug-exit,iobase={_EXIT_PORT:#x},iosize=1"),
            )
            stdin = None if interactive else subprocess.DEVNULL
            try:
                done = subprocess.run([program, *options], stdin=stdin, timeout=timeout, check=False)
            except subprocess.TimeoutExpired as error:
                raise MachineError(f"not done after {timeout:.0f} s; {self._last_words()}") from error
        code, ended_by_guest = (done.returncode >> 1) - 1, done.returncode & 1 and done.returncode > 1
        if not ended_by_guest:
            raise MachineError(f"QEMU ended with code {done.returncode}; {self._last_words()}")
        return code

    def _last_words(self) -> str:
        lines = self.console.read_text(errors="replace").splitlines() if self.console.exists() else []
        return f"the console ({self.console}) ends with:\n" + os.linesep.join(lines[-40:])
