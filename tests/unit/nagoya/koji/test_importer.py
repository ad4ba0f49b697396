"""Imports into a hub that is made up: what it is asked, how often, and what it refuses."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import koji
import pytest
import requests

from nagoya.errors import LifecycleError
from nagoya.koji import rpm
from nagoya.koji.importer import Outcome, has_builds, import_rpms
from nagoya.koji.imports import Import, Selection, find_rpms
from nagoya.koji.repository import Unreachable
from tests.rpm_files import OF_RPM_6, write_rpm

STATES = koji.BUILD_STATES


class Hub:
    """Knows builds, RPMs and one tag; counts requests but those of uploads and imports; a multicall
    is one. It refuses the RPMs `bad`, and breaks the connection at `lost`."""

    def __init__(self, packages: int = 50) -> None:
        self.builds: dict[str, Any] = {}
        self.rpms: dict[str, Any] = {}
        self.packages = {f"p{number}" for number in range(packages)}
        self.blocked: set[str] = set()
        self.tagged: list[str] = []
        self.requests: list[str] = []
        self.bad: set[str] = set()
        self.lost: set[str] = set()
        self.uploaded: dict[str, Path] = {}
        self.logins = 0

    def session(self) -> "Hub":
        self.logins += 1
        return self

    @contextmanager
    def multicall(self, *, strict: bool = False, batch: int | None = None) -> Iterator[Any]:
        class Result:
            def __init__(self, method: Any, arguments: Any) -> None:
                try:
                    self.answer, self.error = method(*arguments), None
                except koji.GenericError as error:
                    self.answer, self.error = None, error

            @property
            def result(self) -> Any:
                if self.error:
                    raise self.error
                return self.answer

        class Calls:
            def __getattr__(calls, name: str) -> Any:
                names.append(name)
                method = getattr(self, f"_{name}", None) or getattr(self, name)
                return lambda *arguments: Result(method, arguments)

        names: list[str] = []
        before = dict(self.builds)
        try:
            yield Calls()
            if "importRPM" not in names:
                self.requests.append("multicall")
        except BaseException:
            self.builds = before  # it is one transaction
            raise

    def getKojiVersion(self) -> str:
        return "1.30.0"

    def listTagged(self, tag: str) -> list[dict[str, str]]:
        self.requests.append("listTagged")
        # Koji hides the builds of packages that the tag does not list.
        return [{"nvr": nvr} for nvr in self.tagged if nvr.rsplit("-", 2)[0] in self.packages]

    def listPackages(self, tag: str, *, inherited: bool) -> list[dict[str, Any]]:
        self.requests.append("listPackages")
        return [{"package_name": p, "blocked": p in self.blocked} for p in sorted(self.packages)]

    def getTag(self, tag: str) -> Any:
        return {"name": tag}

    def uploadWrapper(self, path: str, folder: str, name: str) -> None:
        assert Path(path).exists()
        self.uploaded[f"{folder}/{name}"] = Path(path)

    def createEmptyBuild(self, name: str, version: str, release: str, epoch: Any) -> None:
        self.builds[f"{name}-{version}-{release}"] = {
            "id": len(self.builds), "state": STATES["COMPLETE"], "epoch": epoch,
        }  # fmt: skip

    def importRPM(self, folder: str, name: str) -> None:
        assert f"{folder}/{name}" in self.uploaded
        if name in self.lost:
            raise requests.ConnectionError("gone")
        if name in self.bad:
            raise koji.GenericError("not this one")
        build = self.builds[name.rsplit(".", 2)[0].replace("-libs", "")]
        digest = rpm.read(self.uploaded[f"{folder}/{name}"]).identity
        self.rpms[name] = {
            "build_id": build["id"], "payloadhash": digest, "external_repo_id": 0,
        }  # fmt: skip

    def resetBuild(self, nvr: str) -> None:
        self.builds[nvr]["state"] = STATES["CANCELED"]

    def _getBuild(self, nvr: str) -> Any:
        koji.parse_NVR(nvr)
        return self.builds.get(nvr)

    def _getRPM(self, key: dict[str, str]) -> Any:
        return self.rpms.get("{name}-{version}-{release}.{arch}.rpm".format(**key))

    def _packageListAdd(self, tag: str, package: str, owner: str) -> None:
        assert owner == "alice"
        self.packages.add(package)

    def _tagBuildBypass(self, tag: str, nvr: str) -> None:
        if nvr in self.tagged:
            raise koji.TagError(f"build {nvr} already tagged")
        self.tagged.append(nvr)

    @property
    def usable(self) -> set[str]:
        return {n for n, build in self.builds.items() if build["state"] == STATES["COMPLETE"]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two RPMs of each of fifty builds, p0-0-1 to p49-49-1, of epoch 2."""
    for number in range(50):
        for name in (f"p{number}", f"p{number}-libs"):
            source = f"p{number}-{number}-1.src.rpm"
            write_rpm(tmp_path, name, version=str(number), source=source, epoch=2)
    return tmp_path


def wanted(**changes: Any) -> Import:
    fields = {"type": "import", "tag": "some", "rpms": ["*.rpm"]} | changes
    return Import.model_validate(fields)


def apply(hub: Hub, folder: Path, shown: list[str] | None = None, **changes: Any) -> Outcome:
    """Import a document's RPMs; `shown` gets the progress."""
    system: Any = None  # a seed without `container` needs none
    connection: Any = hub
    show = ([] if shown is None else shown).append
    document = wanted(**changes)
    with find_rpms(system, document, folder, lambda text: None) as selection:
        return import_rpms(connection, hub, document, selection, show)


def test_a_hundred_rpms_take_a_handful_of_requests_beside_their_uploads(folder: Path) -> None:
    hub, shown = Hub(), list[str]()
    assert apply(hub, folder, shown) == Outcome(100, 50, ())
    assert shown[0].startswith("1/100 ")
    assert shown[-2].startswith("100/100 ")
    assert shown[-1] == "tagging 50 builds"
    assert (len(hub.rpms), len(hub.tagged)) == (100, 50)
    assert len(hub.requests) < 10
    assert hub.logins < 10


def test_an_import_that_was_cut_off_is_completed(folder: Path) -> None:
    hub = Hub()
    hub.lost = {"p7-7-1.noarch.rpm"}
    with pytest.raises(LifecycleError, match="gone"):
        apply(hub, folder)
    # Nothing is tagged before all is imported, so that one repository contains all of it.
    assert hub.tagged == []
    imported = len(hub.rpms)
    hub.lost = set()
    assert apply(hub, folder) == Outcome(100 - imported, 50, ())
    assert apply(hub, folder) == Outcome(0, 0, ())


def test_a_refusal_stops_neither_the_rest_nor_the_next_try(folder: Path) -> None:
    hub = Hub()
    hub.bad = {"p3-3-1.noarch.rpm", "p4-4-1.noarch.rpm", "p4-libs-4-1.noarch.rpm"}
    outcome = apply(hub, folder)
    assert sorted(outcome.refused) == [
        f"{name} was refused by the hub: not this one" for name in sorted(hub.bad)
    ]
    assert (outcome.rpms, outcome.tagged) == (97, 48)
    # p3 lacks an RPM, and of p4 there is not even an empty build.
    assert {"p3-3-1", "p4-4-1"}.isdisjoint(hub.tagged)
    assert hub.builds.keys() - hub.usable == {"p4-4-1"}
    hub.bad = set()
    assert apply(hub, folder) == Outcome(3, 2, ())


def test_refused_before_anything_is_sent(folder: Path) -> None:
    for path in folder.glob("p1-*"):
        path.unlink()
    write_rpm(folder, "p1", digests=OF_RPM_6, source="p1-1-1.src.rpm")
    write_rpm(folder, "p2", version="2", arch="nosrc")
    write_rpm(folder, "p5", version="0", source="(none)")
    (folder / "p3-3-1.noarch.rpm").write_bytes(b"")
    damaged = folder / "p4-libs-4-1.noarch.rpm"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    hub = Hub()
    outcome = apply(hub, folder)
    refused = {line.split(" is ")[0] for line in outcome.refused}
    assert refused == {
        "p1-1-1.noarch.rpm", "p2-2-1.nosrc.rpm", "p3-3-1.noarch.rpm", "p4-libs-4-1.noarch.rpm",
        "p5-0-1.noarch.rpm names a source RPM that",
    }  # fmt: skip
    assert refused.isdisjoint(path.rpartition("/")[2] for path in hub.uploaded)
    assert hub.builds.keys() - hub.tagged == {"p2-2-1", "p3-3-1", "p4-4-1"}
    assert "p1-1-1" not in hub.builds


def test_a_build_has_the_epoch_of_its_rpms(folder: Path) -> None:
    hub = Hub()
    apply(hub, folder)
    assert hub.builds["p0-0-1"]["epoch"] == 2


def test_the_hub_gets_a_file_by_its_right_name(tmp_path: Path) -> None:
    write_rpm(tmp_path, "p0", file_name="old.rpm")
    hub = Hub()
    apply(hub, tmp_path)
    assert hub.rpms.keys() == {"p0-1-1.noarch.rpm"}


def test_packages_that_the_tag_does_not_list_get_an_owner(folder: Path) -> None:
    hub = Hub(packages=48)
    with pytest.raises(LifecycleError, match=r"does not list packages .*: p48, p49") as caught:
        apply(hub, folder)
    assert "owner: USER" in (caught.value.hint or "")
    assert hub.uploaded == {}
    # Tagged once without being listed, it is hidden, and cannot be tagged again.
    hub.tagged = ["p49-49-1"]
    assert apply(hub, folder, owner="alice") == Outcome(100, 49, ())
    assert len(hub.packages) == 50


def test_packages_that_the_tag_blocks(folder: Path) -> None:
    hub = Hub()
    hub.blocked = {"p1"}
    with pytest.raises(LifecycleError, match="blocks packages of this import: p1"):
        apply(hub, folder, owner="alice")


def test_builds_that_the_hub_does_not_let_tag(tmp_path: Path) -> None:
    class Locked(Hub):
        def _tagBuildBypass(self, tag: str, nvr: str) -> None:
            raise koji.GenericError("the tag is locked")

    write_rpm(tmp_path, "p0")
    refused = ("p0-1-1 cannot be tagged: the tag is locked",)
    assert apply(Locked(), tmp_path) == Outcome(1, 0, refused)


def test_builds_of_one_package_are_not_imported_at_once(tmp_path: Path) -> None:
    """The hub would make the package twice, and refuse one of them."""

    class New(Hub):
        working = threading.Event()

        def createEmptyBuild(self, name: str, version: str, release: str, epoch: Any) -> None:
            if self.working.is_set():
                raise koji.GenericError("duplicate key value violates unique constraint")
            self.working.set()
            time.sleep(0.01)
            super().createEmptyBuild(name, version, release, epoch)
            self.working.clear()

    for version in "1234":
        write_rpm(tmp_path, "p0", version=version)
    assert apply(New(), tmp_path) == Outcome(4, 4, ())


def test_an_interruption_leaves_no_empty_build(tmp_path: Path) -> None:
    write_rpm(tmp_path, "p0")
    hub = Hub()
    hub.lost = {"p0-1-1.noarch.rpm"}
    with pytest.raises(LifecycleError):
        apply(hub, tmp_path)
    assert hub.builds == {}


def test_a_build_that_cannot_be_created_again_gets_no_rpm(tmp_path: Path) -> None:
    class Used(Hub):
        def createEmptyBuild(self, *_: Any) -> None:
            raise koji.GenericError("Build already in progress")

    write_rpm(tmp_path, "p0")
    hub = Used()
    hub.builds = {"p0-1-1": {"id": 1, "state": STATES["FAILED"], "epoch": None}}
    refused = ("p0-1-1.noarch.rpm was refused by the hub: Build already in progress",)
    assert apply(hub, tmp_path) == Outcome(0, 0, refused)
    assert hub.rpms == {}


def test_a_tag_with_all_builds_is_not_asked_for_more() -> None:
    hub = Hub()
    hub.tagged = ["p0-1-1"]
    assert has_builds(hub, wanted(builds=["p0-1-1"]))
    assert not has_builds(hub, wanted(builds=["p0-1-1", "p1-1-1"]))
    assert not has_builds(hub, wanted())


def test_downloads_do_not_pile_up_and_a_damaged_one_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in ("p0", "p0-libs", "p1"):
        write_rpm(source, name, source=f"{name.removesuffix('-libs')}-1-1.src.rpm")
    system: Any = None
    counts: list[int] = []

    def download(name: str, folder: Path) -> tuple[Path, rpm.Rpm]:
        counts.append(len(list(folder.iterdir())))
        path = folder / name
        path.write_bytes((source / name).read_bytes())
        if name.startswith("p1"):
            path.write_bytes(b"")
        return path, rpm.read(path)

    with find_rpms(system, wanted(), source, lambda text: None) as selection:
        remote = Selection(
            [
                replace(
                    candidate, fetch=lambda folder, name=candidate.label: download(name, folder)
                )
                for candidate in selection.candidates
            ]
        )

    class Remembering(Hub):
        def uploadWrapper(self, path: str, folder: str, name: str) -> None:
            super().uploadWrapper(str(source / Path(path).name), folder, name)

    hub: Any = Remembering()
    outcome = import_rpms(hub, hub, wanted(), remote, lambda text: None)
    assert outcome == Outcome(2, 1, ("p1-1-1.noarch.rpm is empty",))
    assert counts == [0, 0, 0]
    assert hub.builds.keys() == {"p0-1-1"}


def test_a_repository_that_is_gone_ends_the_import(folder: Path) -> None:
    calls = []

    def fail(_: Path) -> Any:
        calls.append(1)
        raise Unreachable("no route")

    hub: Any = Hub()
    system: Any = None
    with find_rpms(system, wanted(), folder, lambda text: None) as selection:
        remote = Selection([replace(candidate, fetch=fail) for candidate in selection.candidates])
    with pytest.raises(Unreachable):
        import_rpms(hub, hub, wanted(), remote, lambda text: None)
    assert len(calls) <= 4
