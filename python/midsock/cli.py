"""The command `midsock`."""

import click

import midsock


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(midsock.__version__, prog_name="midsock")
def main() -> None:
    """Watch and change TCP flows: captures now, live ports next."""
