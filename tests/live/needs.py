"""What a test with real traffic needs, and what becomes of it where that is missing."""

import os
import shutil
import typing

import pytest


def missing(reason: str) -> typing.NoReturn:
    """End the test: as a failure where everything has to be there (CI, as root), elsewhere as a skip."""
    if os.environ.get("CI") == "true" and os.geteuid() == 0:
        pytest.fail(f"{reason}; CI as root skips nothing", pytrace=False)
    pytest.skip(reason)


def need_root() -> None:
    if os.geteuid() != 0:
        missing("only root can make network namespaces")
    need_tools("ip", "ethtool")


def need_tools(*tools: str) -> None:
    for tool in tools:
        if shutil.which(tool) is None:
            missing(f"{tool} is not installed")
