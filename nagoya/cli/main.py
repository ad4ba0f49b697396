"""The programs `moromi` and `toji`: Ctrl-C is handled from before their imports."""

import importlib
import sys
from functools import partial

from nagoya.errors import USAGE, reported


def _run(program: str) -> None:
    """Run a command line to its end; errors become a message and an exit status."""
    with reported(program):
        import click  # noqa: PLC0415 - see above

        try:
            group = importlib.import_module(f"nagoya.cli.{program}").cli
            status = group.main(prog_name=program, standalone_mode=False)
        except click.ClickException as error:
            error.show()
            sys.exit(USAGE)
        except click.Abort:
            raise KeyboardInterrupt from None
        sys.exit(status if isinstance(status, int) else 0)


moromi = partial(_run, "moromi")
toji = partial(_run, "toji")
