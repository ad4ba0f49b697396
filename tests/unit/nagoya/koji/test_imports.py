"""What an import's document may say, and the RPMs that it names."""

import os
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import ValidationError

from nagoya.errors import LifecycleError
from nagoya.koji import imports
from nagoya.koji.imports import Import, Selection, find_rpms
from nagoya.koji.repository import ListedRpm, RemoteFile
from tests.rpm_files import write_rpm


def document(**changes: Any) -> Import:
    return Import.model_validate({"type": "import", "tag": "some", "rpms": ["*.rpm"]} | changes)


def find(folder: Path, **changes: Any) -> Selection:
    system: Any = None  # a seed without `container` needs none
    with find_rpms(system, document(**changes), folder, lambda text: None) as selection:
        return selection


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rpms": []}, "needs either 'rpms' or 'repo'"),
        ({"repo": "https://example.org/os"}, "needs either 'rpms' or 'repo'"),
        ({"rpms": [], "repo": "http://example.org/os"}, "is not an https URL"),
        ({"rpms": [], "repo": "https://e.org", "container": "a"}, "'container' belongs to 'rpms'"),
        ({"packages": ["a"]}, "'packages' and 'ca' belong to 'repo'"),
        ({"ca": "a.crt"}, "'packages' and 'ca' belong to 'repo'"),
    ],
)
def test_keys_that_do_not_fit_together(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        document(**changes)


def test_files_are_read_once_and_named_by_their_place(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    write_rpm(tmp_path, "a")
    path = write_rpm(tmp_path / "more", "b")
    selection = find(tmp_path, rpms=["*.rpm", "**/*.rpm"])
    assert [candidate.label for candidate in selection.candidates] == [
        "a-1-1.noarch.rpm",
        "more/b-1-1.noarch.rpm",
    ]
    assert selection.candidates[1].fetch(tmp_path) == (path, selection.candidates[1].header)


def test_a_file_that_cannot_be_read_leaves_the_others(tmp_path: Path) -> None:
    write_rpm(tmp_path, "a")
    (tmp_path / "b.rpm").write_text("<html>not found</html>")
    # It may be the one that makes the build.
    selection = find(tmp_path, builds=["b-1-1"])
    assert [candidate.label for candidate in selection.candidates] == ["a-1-1.noarch.rpm"]
    assert selection.unreadable == ["b.rpm is not an RPM"]


def test_files_that_are_no_files_leave_the_others(tmp_path: Path) -> None:
    """Nothing waits for a pipe."""
    write_rpm(tmp_path, "a")
    (tmp_path / "b.rpm").mkdir()
    os.mkfifo(tmp_path / "c.rpm")
    (tmp_path / "d.rpm").symlink_to("d.rpm")
    (tmp_path / "e.rpm").symlink_to("nowhere")
    selection = find(tmp_path)
    assert [candidate.label for candidate in selection.candidates] == ["a-1-1.noarch.rpm"]
    assert selection.unreadable == [f"{name}.rpm is no regular file" for name in "bcde"]


@pytest.mark.parametrize("pattern", ["{folder}/a-*.rpm", "**.rpm", "./*.rpm"])
def test_patterns_of_any_kind(tmp_path: Path, pattern: str) -> None:
    write_rpm(tmp_path, "a")
    (candidate,) = find(tmp_path, rpms=[pattern.format(folder=tmp_path)]).candidates
    assert candidate.label == "a-1-1.noarch.rpm"


def test_two_files_of_a_container_with_one_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = {}
    for folder, name in (("x86_64", "a"), ("i686", "b")):
        (tmp_path / folder).mkdir()
        path = write_rpm(tmp_path / folder, name, file_name="one.rpm")
        paths[f"/srv/{folder}/one.rpm"] = path.read_bytes()
    monkeypatch.setattr(imports, "require_system", lambda *_: {"builder": paths})
    monkeypatch.setattr(imports.transfer, "read_file", lambda files, path: files[path])
    system: Any = SimpleNamespace(engine=None, name="koji")
    wanted = document(container="builder", rpms=[*paths])
    with find_rpms(system, wanted, tmp_path, lambda text: None) as selection:
        assert {candidate.label: candidate.header.name for candidate in selection.candidates} == {
            "/srv/x86_64/one.rpm": "a",
            "/srv/i686/one.rpm": "b",
        }


def test_builds_that_do_not_come_of_the_rpms(tmp_path: Path) -> None:
    write_rpm(tmp_path, "a")
    with pytest.raises(LifecycleError, match="belongs to the expected build other-1-1") as caught:
        find(tmp_path, builds=["a-1-1", "other-1-1"])
    assert caught.value.hint == "the RPMs belong to a-1-1"


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(LifecycleError, match=r"no file in .* matches x\*\.rpm"):
        find(tmp_path, rpms=["x*.rpm"])


class Repository:
    """Lists glibc with a subpackage, and gtk4, whose file is that of another package."""

    def __init__(self, url: str, ca: Path | None) -> None: ...

    def __enter__(self) -> "Repository":
        return self

    def __exit__(self, *_: object) -> None: ...

    def rpms(self, folder: Path) -> list[ListedRpm]:
        file: Any = RemoteFile(None, 0, "sha256", "")  # type: ignore[arg-type]
        return [
            ListedRpm(name, "1", "1", None, "noarch", f"{source}-1-1.src.rpm", 0, file)
            for name, source in {"glibc": "glibc", "nscd": "glibc", "gtk4": "gtk4"}.items()
        ]

    def download(self, listed: ListedRpm, folder: Path) -> Path:
        name = "other" if listed.name == "gtk4" else listed.name
        return write_rpm(folder, name, source=listed.source_rpm)


@pytest.fixture
def repository(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setattr(imports, "Repository", Repository)
    return {"rpms": [], "repo": "https://example.org/os"}


@pytest.mark.parametrize(
    ("packages", "names"),
    [
        ([], ["glibc", "nscd", "gtk4"]),
        (["glibc"], ["glibc", "nscd"]),
        (["g*", "glibc"], ["glibc", "nscd", "gtk4"]),
    ],
)
def test_source_packages_are_chosen_from_a_repository(
    repository: dict[str, Any], tmp_path: Path, packages: list[str], names: list[str]
) -> None:
    selection = find(tmp_path, **repository, packages=packages)
    assert [candidate.header.name for candidate in selection.candidates] == names


def test_a_slow_repository_is_named_while_it_is_waited_for(
    repository: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notice, rpms = threading.Event(), Repository.rpms

    def wait(self: Repository, folder: Path) -> list[ListedRpm]:
        assert notice.wait(30)
        return rpms(self, folder)

    monkeypatch.setattr(Repository, "rpms", wait)
    texts = []

    def show(text: str) -> None:
        texts.append(text)
        if text.startswith("waiting"):
            notice.set()

    system: Any = None
    with find_rpms(system, document(**repository), tmp_path, show):
        assert texts == ["reading https://example.org/os", "waiting for example.org, 2 s"]


def test_a_package_that_the_repository_lacks(repository: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(LifecycleError, match=r"'glib'; did you mean 'glibc'.*\n  'nothing'$"):
        find(tmp_path, **repository, packages=["glib", "nothing", "gtk*"])


def test_a_download_is_what_was_listed(repository: dict[str, Any], tmp_path: Path) -> None:
    glibc, _, gtk = find(tmp_path, **repository).candidates
    assert glibc.fetch(tmp_path)[1].name == "glibc"
    with pytest.raises(LifecycleError, match="its header names other-1-1"):
        gtk.fetch(tmp_path)
