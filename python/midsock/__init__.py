"""A flow-management stack for stateful middleboxes, with a Rust core."""

from midsock._midsock import __version__

__all__ = ["__version__"]
