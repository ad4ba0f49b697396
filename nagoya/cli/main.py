"""The programs `moromi` and `toji`: Ctrl-C is handled from before their imports."""

import importlib

from nagoya.errors import reported


def moromi() -> None:
    """The program `moromi`."""
    _run("moromi")


def toji() -> None:
    """The program `toji`."""
    _run("toji")


def _run(program: str) -> None:
    with reported(program):
        importlib.import_module(f"nagoya.cli.{program}").main()
