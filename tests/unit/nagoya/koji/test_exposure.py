"""nagoya.koji.exposure, with stand-ins for the engine and the hub."""

from types import SimpleNamespace
from typing import Any

import pytest

from nagoya.koji import exposure


@pytest.fixture
def warn(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What is said of a hub of a version, published on addresses; it is asked only if it has to."""

    def warnings(version: str | None, *addresses: str) -> list[str]:
        session = SimpleNamespace(getKojiVersion=lambda: version)
        connection = SimpleNamespace(session=lambda user, seconds: session)
        state = SimpleNamespace(addresses=dict(enumerate(addresses)))
        profile = SimpleNamespace(load=lambda system: SimpleNamespace(hub="koji"))
        of = {} if version is None else {"of": lambda system: connection}
        monkeypatch.setattr(exposure, "HubConnection", SimpleNamespace(**of))
        monkeypatch.setattr(exposure, "Profile", profile)
        engine = SimpleNamespace(get=lambda *_: None, state=lambda handle, reload: state)
        monkeypatch.setattr(exposure, "containers", engine)
        return exposure.warnings(SimpleNamespace(name="site", engine=None))  # type: ignore[arg-type]

    return warnings


@pytest.mark.parametrize("version", ["1.30.0", "1.32.1"])
def test_an_old_koji_is_warned_of(warn: Any, version: str) -> None:
    (line,) = warn(version, "127.0.0.1", "0.0.0.0", "::")
    assert f"published on 0.0.0.0, ::; version {version} gets" in line


@pytest.mark.parametrize("version", ["1.33.0", "1.35.3", "1.36dev", "2.0"])
def test_a_newer_koji_is_not(warn: Any, version: str) -> None:
    assert warn(version, "192.0.2.7") == []


def test_a_hub_of_this_machine_alone_is_not_asked(warn: Any) -> None:
    assert warn(None, "127.0.0.1", "::1") == []
