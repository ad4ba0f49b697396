"""Callbacks of a moromi.yml: checked without running them, loaded for their event, isolated."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from nagoya.config import loader
from nagoya.config.declaration import Declaration
from nagoya.errors import DeclarationError, LifecycleError

TEXT = """
base: {image: "debian:bookworm-slim", suite: bookworm}
images: {hub: {}}
containers: {koji: {image: hub, callbacks: {post_start: [%s]}}}
"""

Read = Callable[..., Declaration]


@pytest.fixture
def read(tree: Callable[..., Path]) -> Read:
    def read(callback: str, at: str = ".", **modules: str) -> Declaration:
        files = {f"{name.replace('__', '/')}.py": text for name, text in modules.items()}
        beside = {"hub/Dockerfile": "FROM scratch", "moromi.yml": TEXT % callback}
        return loader.read(tree({**beside, **files}, at=at) / "moromi.yml")

    return read


def call(declared: Declaration, name: str) -> list[str]:
    messages: list[str] = []
    declared.call(name, "post_start", SimpleNamespace(name="koji", log=messages.append))
    return messages


def test_reading_runs_nothing(read: Read, tmp_path: Path) -> None:
    code = f"open({str(tmp_path / 'ran')!r}, 'w')\ndef greet(container): ...\n"
    declared = read("callbacks.greet", callbacks=code)
    assert not (tmp_path / "ran").exists()
    call(declared, "callbacks.greet")
    assert (tmp_path / "ran").exists()


def test_two_declarations_have_a_module_of_one_name(read: Read) -> None:
    """Siblings that a module imports are its own too."""
    code = "import helper\ndef greet(container): container.log(helper.WORD)\n"
    declarations = [
        read("callbacks.greet", at=word, callbacks=code, helper=f"WORD = {word!r}\n")
        for word in ("one", "other")
    ]
    assert [call(declared, "callbacks.greet") for declared in [*declarations, declarations[0]]] == [
        ["one"], ["other"], ["one"],
    ]  # fmt: skip


@pytest.mark.parametrize(
    "code",
    [
        "def f(c): ...",
        "from os.path import join as f",
        "from os.path import *",
        "try:\n    import json as f\nexcept ImportError:\n    f = None",
        "class f:\n    def __init__(self, c): ...",
        "def __getattr__(name): ...",
        "globals()['f'] = print",
    ],
)
def test_names_of_every_kind_are_found(read: Read, code: str) -> None:
    read("callbacks.f", callbacks=code)
    read("package.inner.f", package__inner=code, package____init__="1 / 0")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_such.thing", "No module named 'no_such'"),
        ("callbacks.inner.thing", "No module named 'callbacks.inner'"),
        ("callbacks.gret", "module 'callbacks' has no function 'gret'; did you mean 'greet'?"),
        ("broken.greet", "broken.py, line 1: '(' was never closed"),
    ],
)
def test_a_wrong_name_is_reported(read: Read, name: str, message: str) -> None:
    with pytest.raises(DeclarationError) as caught:
        read(name, callbacks="def greet(c): ...", broken="def greet(")
    (problem,) = caught.value.problems
    assert problem.startswith("containers.koji.callbacks.post_start[0]: ")
    assert problem.endswith(message)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("def greet(c): return c.state()", "AttributeError: "),
        ("def greet(c): raise SystemExit(3)", "SystemExit: 3"),
        ("def greet(c): raise SystemExit", "SystemExit"),
        ("import no_such_module\ndef greet(c): ...", "ModuleNotFoundError: No module named "),
        ("greet = 3", "TypeError: callbacks.greet is a int, not a function"),
        ("def greet(c): open('/nonexistent/x')", "FileNotFoundError: "),
    ],
)
def test_a_callback_with_a_bug_is_reported_with_event_and_container(
    read: Read, code: str, message: str
) -> None:
    with pytest.raises(LifecycleError) as caught:
        call(read("callbacks.greet", callbacks=code), "callbacks.greet")
    words = "the callback callbacks.greet failed at post_start of koji: "
    assert caught.value.message.startswith(words + message)
    assert not caught.value.message.endswith(": ")
    assert caught.value.__cause__


def test_an_error_of_nagoyas_keeps_its_hint_and_status(read: Read) -> None:
    code = (
        "from nagoya.errors import EngineError\n"
        "def greet(c): raise EngineError('mine', 'do this', exit_code=99)\n"
    )
    with pytest.raises(LifecycleError) as caught:
        call(read("callbacks.greet", callbacks=code), "callbacks.greet")
    assert caught.value.message.endswith(" failed at post_start of koji: mine")
    assert (caught.value.hint, caught.value.exit_code) == ("do this", 99)
