"""Policies of a seed on a hub that is made up: checked first, put back if the hub fails."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from nagoya.errors import LifecycleError, NotReady
from nagoya.koji import policies
from nagoya.koji.policies import POLICY_FILE, Policy, apply_policies, render

FORMER = render([Policy(type="policy", name="tag", rules=("all :: allow",))])


class Hub:
    """A hub's container with its files; `bad` is a test that its parser knows nothing of."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, label: str | None = '["check"]') -> None:
        self.files, self.locked, self.breaks_on = {POLICY_FILE: FORMER}, False, "breaks"
        self.events: list[str] = []
        self.running = True
        stand_in = SimpleNamespace(
            label=lambda handle, name: label,
            state=lambda handle: SimpleNamespace(running=self.running),
        )
        monkeypatch.setattr(policies, "containers", stand_in)
        monkeypatch.setattr(policies, "execute", self.execute)
        monkeypatch.setattr(policies, "require_system", lambda engine, name: {"thehub": self})
        monkeypatch.setattr(policies, "_write", self.write)
        monkeypatch.setattr(policies, "wait", self.wait)
        self.system: Any = SimpleNamespace(
            engine=None, name="some", lock=self.lock, apply=self.restart,
            declaration=None, observe=lambda: None,
        )  # fmt: skip
        monkeypatch.setattr(policies.plan, "restart", lambda _, __, names: names)

    @contextmanager
    def lock(self) -> Iterator[None]:
        self.locked = True
        yield
        self.locked = False

    def execute(self, handle: Any, command: list[str], **options: Any) -> tuple[int, str]:
        if command[0] == "cat":
            return (0, self.files[command[1]]) if command[1] in self.files else (1, "no such file")
        if command[0] == "rm":
            del self.files[command[1]]
            return 0, ""
        text = options["input"].decode()
        return (1, "policy 'tag', rule 1: unknown test 'bad'\n") if "bad" in text else (0, "")

    def write(self, handle: Any, path: str, content: str) -> None:
        assert self.locked
        self.files[path] = content
        if path == POLICY_FILE:
            self.events.append("write")

    def restart(self, names: list[str]) -> None:
        assert self.locked
        assert names == ["thehub"]
        self.events.append("restart")

    def wait(self, system: Any, seconds: float, only: list[str]) -> None:
        if self.breaks_on in self.files[POLICY_FILE]:
            raise NotReady("not ready after 120 s")


def policy(*rules: str) -> Policy:
    return Policy(type="policy", name="tag", rules=rules)


def test_new_policies_are_written_and_the_hub_restarted_under_the_lock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hub = Hub(monkeypatch)
    wanted = {1: policy("all :: deny")}
    assert apply_policies(hub.system, "thehub", wanted, "seed.yml")
    assert hub.files == {POLICY_FILE: render(wanted.values())}
    assert hub.events == ["write", "restart"]


def test_policies_with_which_the_hub_has_not_started_yet_are_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hub = Hub(monkeypatch)
    wanted = {1: policy("all :: deny")}

    def stop(names: list[str]) -> None:
        raise KeyboardInterrupt

    hub.system.apply = stop
    with pytest.raises(KeyboardInterrupt):
        apply_policies(hub.system, "thehub", wanted, "seed.yml")
    hub.system.apply = hub.restart
    assert apply_policies(hub.system, "thehub", wanted, "seed.yml")
    assert hub.files == {POLICY_FILE: render(wanted.values())}


def test_the_last_policies_with_which_the_hub_has_started_are_put_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not those that were written by a seed that was killed."""
    hub = Hub(monkeypatch)

    def stop(names: list[str]) -> None:
        raise KeyboardInterrupt

    hub.system.apply = stop
    with pytest.raises(KeyboardInterrupt):
        apply_policies(hub.system, "thehub", {1: policy("breaks :: allow")}, "seed.yml")
    hub.system.apply = hub.restart
    with pytest.raises(LifecycleError, match="did not start with the policies of"):
        apply_policies(hub.system, "thehub", {1: policy("breaks :: deny")}, "seed.yml")
    assert hub.files == {POLICY_FILE: FORMER}


def test_policies_that_the_hub_has_restart_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = Hub(monkeypatch)
    assert not apply_policies(hub.system, "thehub", {1: policy("all :: allow")}, "seed.yml")
    assert hub.events == []


def test_a_policy_that_the_hubs_parser_refuses_is_never_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hub = Hub(monkeypatch)
    wanted = {1: policy("all :: deny"), 4: policy("bad x :: allow")}
    with pytest.raises(LifecycleError) as raised:
        apply_policies(hub.system, "thehub", wanted, "seed.yml")
    assert raised.value.message.splitlines() == [
        "seed.yml: the hub refuses its policies:",
        "  document 4: policy 'tag', rule 1: unknown test 'bad'",
    ]
    assert (hub.files, hub.events) == ({POLICY_FILE: FORMER}, [])


@pytest.mark.parametrize("label", [None, '["check"]'])
def test_a_hub_that_does_not_come_up_gets_its_former_policies(
    monkeypatch: pytest.MonkeyPatch, label: str | None
) -> None:
    hub = Hub(monkeypatch, label)
    with pytest.raises(LifecycleError, match="did not start with the policies of") as why:
        apply_policies(hub.system, "thehub", {1: policy("breaks :: allow")}, "seed.yml")
    assert "were put back" in str(why.value.hint)
    assert hub.files == {POLICY_FILE: FORMER}
    assert hub.events == ["write", "restart"] * 2
    assert apply_policies(hub.system, "thehub", {1: policy("all :: deny")}, "seed.yml")


def test_a_hub_that_is_stopped_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = Hub(monkeypatch)
    hub.running = False
    with pytest.raises(LifecycleError, match="is not running") as raised:
        apply_policies(hub.system, "thehub", {1: policy("all :: deny")}, "seed.yml")
    assert raised.value.hint == "toji --system some start"
    assert hub.events == []
