"""What holds of netmap's module, by guest/check_module.py in the emulated machine, holds of its emulation."""

import os
import pathlib
import shutil
import subprocess
import sys

import netmap_emulation as emulation
import pytest
from live import missing, need_root

HERE = pathlib.Path(__file__).parent


@pytest.mark.skipif(os.environ.get("MIDSOCK_NETMAP") == "device", reason="nothing is emulated")
def test_the_emulation_is_as_the_module(tmp_path: pathlib.Path) -> None:
    need_root()
    if shutil.which("gcc") is None:
        missing("the emulated /dev/netmap is built with gcc")
    environment = emulation.environment(tmp_path / "netmap")
    environment["PYTHONPATH"] = str(HERE.parent)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "--tb=short"]
    # The emulation answers open(), not stat().
    command += ["-k", "not the_device_is_root_s", str(HERE / "guest/check_module.py")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    # One check moves a cursor out of its ring, on purpose.
    (fault,) = emulation.faults(tmp_path / "netmap")
    assert "bad cursors" in fault
