"""What all tests share."""

import importlib.resources
import pathlib

import pytest

pytest_plugins = ["live.fixtures"]


@pytest.fixture(scope="session")
def capture() -> pathlib.Path:
    """Give the bundled capture."""
    return pathlib.Path(str(importlib.resources.files("midsock"))) / "data/web.pcap.gz"
