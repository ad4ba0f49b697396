"""What becomes of an exchange that was cut off, without an engine."""

from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from nagoya.config.declaration import Declaration
from nagoya.system import replacement
from nagoya.system.observed import ObservedSystem
from tests.unit.nagoya.system.systems import Declare, running


@pytest.fixture
def declared(declare: Declare) -> Declaration:
    files = {"detach": False, "run_once": True, "volumes": ["files:/data"], "network_mode": "none"}
    return declare(db={"volumes_from": ["files"]}, files=files)


class System:
    """Records what is done to it; a volume's content is `pending` or settled."""

    name = "some"

    def __init__(self, declaration: Declaration, observed: ObservedSystem, *, pending: bool):
        self.declaration, self.observed, self.pending = declaration, observed, pending
        self.done: list[str] = []
        self.progress = self
        self.waited = False

    def lock(self) -> nullcontext[bool]:
        return nullcontext(self.waited)

    def observe(self) -> ObservedSystem:
        return self.observed

    def log(self, text: str) -> None:
        self.done.append(text.partition(" ")[0])

    def remove_helpers(self) -> None:
        pass

    def apply(self, wanted: Any) -> None:
        self.done += [operation.id for operation in wanted.operations]

    def swap(self, _: "System", name: str, verb: str) -> str:
        if verb == "state":
            return "pending" if self.pending else "settled"
        self.done.append(f"{verb} {name}")
        return ""


def test_what_every_exchange_replaces_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the volume of the keys, whatever it is called: an upgrade leaves it as it is."""
    keys, files = {"nagoya.private": '["/keys"]'}, {"nagoya.private": "[]"}
    present = {
        name: SimpleNamespace(
            docker=SimpleNamespace(attrs={"Config": {"Labels": {"nagoya.swap": "[]", **labels}}})
        )
        for name, labels in {"akeys": keys, "files": files, "zkeys": keys, "more": {}}.items()
    }
    monkeypatch.setattr(replacement.containers, "list_containers", lambda *_: present)
    system: Any = SimpleNamespace(engine=None, name="some")
    assert replacement._swappable(system) == ["files", "more", "akeys", "zkeys"]


@pytest.mark.parametrize(
    ("attribute", "pending", "done"),
    [
        # Killed while the new containers were filled.
        ("replacements", True, ["undoing", "revert files", "remove replacement db"]),
        # What `up` has left is not ours.
        ("replacements", False, []),
        # Killed while the new containers ran.
        ("aside", True, ["undoing", "remove db", "revert files", "put back db"]),
        # Killed once the new content was decided upon.
        ("aside", False, ["completing", "commit files", "remove old db"]),
    ],
)
def test_an_exchange_is_completed_or_undone(
    declared: Declaration,
    monkeypatch: pytest.MonkeyPatch,
    attribute: str,
    pending: bool,
    done: list[str],
) -> None:
    now = running(declared)
    observed = replace(now, **{attribute: {"db": now.containers["db"]}})  # type: ignore[arg-type]
    system: Any = System(declared, observed, pending=pending)
    monkeypatch.setattr(replacement, "_swappable", lambda system: ["files"])
    monkeypatch.setattr(replacement, "_swap", system.swap)
    assert replacement.recover(system) is bool(done)
    assert system.done[: len(done)] == done


def test_what_is_put_back_last_is_found_before_it_is(
    declared: Declaration, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after the old content was back, and before the old containers were."""
    now = running(declared)
    files, db = ({name: now.containers[name]} for name in ("files", "db"))
    remains = replace(now, containers=files, aside=db)
    system: Any = System(declared, remains, pending=False)
    monkeypatch.setattr(replacement, "_swappable", lambda system: ["files"])
    monkeypatch.setattr(replacement, "_swap", system.swap)
    assert replacement.recover(system)
    assert system.done[:3] == ["undoing", "revert files", "put back db"]


@pytest.mark.parametrize("waited", [True, False])
def test_whoever_waited_for_another_toji_looks_again(declared: Declaration, waited: bool) -> None:
    system: Any = System(declared, running(declared), pending=False)
    system.waited = waited
    assert replacement.recover(system) is waited
