"""Adjusts Koji to this Python, and to clients that are newer than it.

- Koji up to 1.31 calls `inspect.getargspec` and `inspect.formatargspec`, which Python 3.11 removed:
  in the hub for its list of calls (`koji list-api`), in kojiweb for every page.
- Clients from 1.31 on name the session that they log out of. An older hub takes no such argument;
  the client then logs out without, but each time leaves a traceback in the hub's log.

Apache imports this into the processes that run Koji, before Koji itself; setup.py sees to it that
it does so only for a Koji that needs one of the two.
"""

import importlib
import inspect
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple


class ArgSpec(NamedTuple):
    """What `inspect.getargspec` of Python 3.10 returned."""

    args: list[str]
    varargs: str | None
    keywords: str | None
    defaults: tuple[Any, ...] | None


def getargspec(function: Callable[..., Any]) -> ArgSpec:
    """The arguments of `function`, without those that can be passed by keyword only."""
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
    optional = zip(args[without:], defaults or (), strict=True)
    words += [f"{name}={value!r}" for name, value in optional]
    words += [f"*{varargs}"] if varargs else []
    words += [f"**{varkw}"] if varkw else []
    return f"({', '.join(words)})"


def install() -> None:
    """Put both functions where Koji looks for them."""
    inspect.getargspec = getargspec  # type: ignore[attr-defined]
    inspect.formatargspec = formatargspec  # type: ignore[attr-defined]


def accept_session_id(auth: Any) -> None:
    """Let `logout` of Koji's module `auth` take the caller's own session as an argument."""
    logout = auth.logout
    if inspect.signature(logout).parameters:
        return

    def logout_session(session_id: int | None = None) -> Any:
        """expire a login session"""
        if session_id not in (None, auth.context.session.id):
            raise auth.koji.GenericError("this hub ends only the session that it is called in")
        return logout()

    logout_session.__name__ = "logout"  # which is what the hub calls it by
    auth.logout = logout_session


# mod_wsgi knows only import, under a name of its own.
if __name__.startswith("_mod_wsgi_"):
    import mod_wsgi  # type: ignore[import-not-found]

    install()
    if mod_wsgi.process_group == "kojihub":
        # Koji from 1.31 on has it elsewhere, and takes the argument.
        with suppress(ImportError):
            accept_session_id(importlib.import_module("koji.auth"))
