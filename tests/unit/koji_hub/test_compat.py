"""koji-hub's compat: two functions that Python 3.11 removed, as Koji 1.30 uses them."""

import inspect
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture
def compat(load_script: Callable[[str], ModuleType]) -> ModuleType:
    return load_script("koji-hub/compat.py")


def call(tag, event=None, *args, name="x", **opts):  # type: ignore[no-untyped-def]
    """As the hub's calls look, and one argument that is given by keyword alone."""


class Calls:
    def method(self, build: int, strict: bool = False) -> None: ...


@pytest.mark.parametrize(
    ("function", "spec", "text"),
    [
        (
            call,
            (["tag", "event"], "args", "opts", (None,)),
            "(tag, event=None, *args, **opts)",
        ),
        (
            Calls().method,
            (["self", "build", "strict"], None, None, (False,)),
            "(self, build, strict=False)",
        ),
        (lambda: None, ([], None, None, None), "()"),
    ],
)
def test_tells_the_arguments(
    compat: ModuleType, function: Any, spec: tuple[Any, ...], text: str
) -> None:
    found = compat.getargspec(function)
    assert tuple(found) == spec
    # The hub changes the list in place.
    assert isinstance(found[0], list)
    assert compat.formatargspec(*found) == text


def test_only_apache_puts_them_back(compat: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    assert getattr(inspect, "formatargspec", None) is not compat.formatargspec
    for name in ("getargspec", "formatargspec"):
        monkeypatch.setattr(inspect, name, None, raising=False)
    compat.install()
    assert inspect.formatargspec is compat.formatargspec  # type: ignore[attr-defined]
    assert inspect.getargspec is compat.getargspec  # type: ignore[attr-defined]
