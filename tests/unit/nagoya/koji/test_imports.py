"""Imports of RPMs on a hub that is made up: what it is asked, and how often."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nagoya.errors import LifecycleError
from nagoya.koji import imports, rpm
from nagoya.koji.imports import Import, import_rpms, read_rpms


class Hub:
    """Knows builds, RPMs and one tag; counts requests, of which a multicall is one."""

    def __init__(self) -> None:
        self.builds: dict[str, Any] = {}
        self.rpms: set[str] = set()
        self.tagged: list[str] = []
        self.requests = 0

    @contextmanager
    def multicall(self, *, strict: bool) -> Iterator[Any]:
        assert strict
        self.requests += 1

        class Calls:
            def __getattr__(calls, name: str) -> Any:
                method = getattr(self, f"_{name}")
                return lambda *arguments: SimpleNamespace(result=method(*arguments))

        yield Calls()

    def listTagged(self, tag: str) -> list[dict[str, str]]:
        self.requests += 1
        return [{"nvr": nvr} for nvr in self.tagged]

    def getTag(self, tag: str) -> Any:
        return {"name": tag}

    def uploadWrapper(self, path: str, folder: str) -> None: ...

    def importRPM(self, folder: str, name: str) -> None:
        self.rpms.add(name)

    def _getBuild(self, nvr: str) -> Any:
        return self.builds.get(nvr)

    def _getRPM(self, key: dict[str, str]) -> Any:
        name = "{name}-{version}-{release}.{arch}.rpm".format(**key)
        return {"id": 1} if name in self.rpms else None

    def _createEmptyBuild(self, name: str, version: str, release: str, epoch: Any) -> None:
        self.builds[f"{name}-{version}-{release}"] = {"epoch": epoch}

    def _tagBuildBypass(self, tag: str, nvr: str) -> None:
        self.tagged.append(nvr)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """RPMs that are nothing but names: two of each of fifty builds, of epoch 2."""
    for number in range(50):
        for name in (f"p{number}", f"p{number}-libs"):
            (tmp_path / f"{name}-1-1.noarch.rpm").touch()

    def read(path: Path) -> rpm.Rpm:
        name, version, release = path.name.removesuffix(".noarch.rpm").rsplit("-", 2)
        source = f"{name.removesuffix('-libs')}-{version}-{release}.src.rpm"
        return rpm.Rpm(name, version, release, 2, "noarch", source, signed=False)

    monkeypatch.setattr(imports.rpm, "read", read)
    return tmp_path


def wanted(**changes: Any) -> Import:
    builds = [f"p{number}-1-1" for number in range(50)]
    given = {"type": "import", "tag": "some", "builds": builds, "rpms": ["*.rpm"]} | changes
    return Import.model_validate(given)


def apply(hub: Hub, document: Import, folder: Path) -> list[str]:
    """Import a document's RPMs; what the progress showed."""
    shown: list[str] = []
    system: Any = None  # a seed without `container` needs none
    with read_rpms(system, hub, document, folder) as rpms:
        if rpms:
            import_rpms(hub, document.tag, rpms, shown.append)
    return shown


def test_a_hundred_rpms_take_a_handful_of_requests_beside_their_uploads(folder: Path) -> None:
    hub = Hub()
    assert apply(hub, wanted(), folder)[0].startswith("1/100 ")
    assert len(hub.rpms) == 100
    assert sorted(hub.tagged) == sorted(wanted().builds)
    assert hub.requests < 10


def test_a_build_has_the_epoch_of_its_rpms(folder: Path) -> None:
    hub = Hub()
    apply(hub, wanted(), folder)
    assert hub.builds["p0-1-1"] == {"epoch": 2}


def test_an_import_that_was_cut_off_is_completed(folder: Path) -> None:
    hub = Hub()
    hub.builds["p0-1-1"] = {"epoch": 2}
    hub.rpms.add("p0-1-1.noarch.rpm")
    assert len(apply(hub, wanted(), folder)) == 99
    assert apply(hub, wanted(), folder) == []


def test_a_tag_with_all_builds_needs_no_files(folder: Path) -> None:
    hub = Hub()
    hub.tagged = ["p0-1-1"]
    assert apply(hub, wanted(builds=["p0-1-1"], rpms=["x*.rpm"]), folder) == []


def test_builds_that_do_not_come_of_the_rpms(folder: Path) -> None:
    with pytest.raises(LifecycleError, match="make no build other-1-1"):
        apply(Hub(), wanted(builds=["other-1-1"]), folder)


def test_files_that_are_not_there(folder: Path) -> None:
    with pytest.raises(LifecycleError, match=r"has no file x\*\.rpm"):
        apply(Hub(), wanted(rpms=["x*.rpm"]), folder)
