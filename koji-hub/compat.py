"""Gives Koji back two functions of `inspect` that Python 3.11 removed.

Koji up to 1.31 calls `inspect.getargspec` and `inspect.formatargspec`: in the hub for its list of
calls (`koji list-api`), in kojiweb for every page. Apache imports this into the processes that
run them, before Koji is; setup.py sees to it that it does so only for a Koji that calls them.
"""

import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple


class ArgSpec(NamedTuple):
    """What a function takes, as Python 3.10 told it."""

    args: list[str]
    varargs: str | None
    keywords: str | None
    defaults: tuple[Any, ...] | None


def getargspec(function: Callable[..., Any]) -> ArgSpec:
    """The arguments of `function`, those that are given by keyword alone left out."""
    return ArgSpec(*inspect.getfullargspec(function)[:4])


def formatargspec(
    args: Sequence[str],
    varargs: str | None = None,
    varkw: str | None = None,
    defaults: Sequence[Any] | None = None,
) -> str:
    """Those arguments as they stand in a `def`, such as "(tag, event=None, **opts)"."""
    without = len(args) - len(defaults or ())
    words = [*args[:without]]
    given = zip(args[without:], defaults or (), strict=True)
    words += [f"{name}={value!r}" for name, value in given]
    words += [f"*{varargs}"] if varargs else []
    words += [f"**{varkw}"] if varkw else []
    return f"({', '.join(words)})"


def install() -> None:
    """Put both where Koji looks for them."""
    inspect.getargspec = getargspec  # type: ignore[attr-defined]
    inspect.formatargspec = formatargspec  # type: ignore[attr-defined]


# mod_wsgi knows only import, under a name of its own.
if __name__.startswith("_mod_wsgi_"):
    install()
