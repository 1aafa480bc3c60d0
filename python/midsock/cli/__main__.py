"""`python -m midsock.cli` is the command `midsock`."""

from midsock.cli import main

main(prog_name="midsock")
