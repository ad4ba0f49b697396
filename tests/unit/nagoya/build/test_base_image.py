"""The base image: present, pulled or made, with an engine and a mmdebstrap that only take notes."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, cast

import pytest

from nagoya.build import base_image
from nagoya.config.model import Base
from nagoya.engine import Engine, image_builds, images, registry
from nagoya.errors import EngineError, SourceError
from nagoya.utils.progress import Progress

DECLARED = Base(image="debian:bookworm-slim", suite="bookworm")
ENGINE = cast(Engine, None)


class Notes:
    """What was asked of the engine."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.there = False
        self.reachable = False
        self.pulled: list[str] = []
        self.imported: list[tuple[bytes, str, list[str]]] = []
        monkeypatch.setattr(images, "exists", lambda engine, name: self.there)
        monkeypatch.setattr(registry, "pull", self.pull)
        monkeypatch.setattr(image_builds, "import_tar", self.import_tar)

    def pull(self, engine: Engine, name: str, heard: Callable[[str], None]) -> None:
        if not self.reachable:
            raise EngineError("no registry answers")
        self.pulled.append(name)

    def import_tar(self, engine: Engine, tar: IO[bytes], name: str, changes: list[str]) -> None:
        self.imported.append((tar.read(), name, changes))


@pytest.fixture
def notes(monkeypatch: pytest.MonkeyPatch) -> Notes:
    return Notes(monkeypatch)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Put programs on PATH that note their arguments, and leave no other there."""
    folder = tmp_path / "bin"
    folder.mkdir()
    log = tmp_path / "log"
    log.touch()
    monkeypatch.setenv("PATH", str(folder))

    def put(**scripts: str) -> Path:
        for name, body in scripts.items():
            program = folder / name.replace("_", "-")
            note = f'echo "{program.name} $*" >>{log}\necho "epoch $SOURCE_DATE_EPOCH" >&2'
            program.write_text(f"#!/bin/sh\n{note}\n{body}\n")
            program.chmod(0o755)
        return log

    return put


def ensure(base: Base = DECLARED, **options: Any) -> str:
    printed = io.StringIO()
    base_image.ensure(ENGINE, base, Progress(stream=printed, verbose=True), **options)
    return printed.getvalue()


def test_present(notes: Notes) -> None:
    notes.there = True
    assert ensure().endswith("present\n")
    assert not notes.pulled


def test_pulled(notes: Notes) -> None:
    notes.reachable = True
    assert ensure().endswith("pulled\n")
    assert notes.pulled == ["debian:bookworm-slim"]


def test_made(notes: Notes, programs: Callable[..., Path]) -> None:
    log = programs(mmdebstrap="echo root of an image")
    assert "epoch 1577836800" in ensure()
    (content, name, changes) = notes.imported[0]
    assert content == b"root of an image\n"
    assert name == "debian:bookworm-slim"
    assert changes == ['CMD ["bash"]', "LABEL nagoya.image=debian:bookworm-slim"]
    arguments = log.read_text()
    assert arguments.startswith("mmdebstrap --variant=minbase --format=tar ")
    assert arguments.endswith(" bookworm -\n")
    assert "path-exclude=/usr/share/man/*" in arguments


def test_another_suite(notes: Notes, programs: Callable[..., Path]) -> None:
    log = programs(mmdebstrap="echo root of an image")
    printed = ensure(Base(image="debian:trixie-slim", suite="trixie"))
    assert "not found in any registry; building it with mmdebstrap" in printed
    assert notes.imported[0][1] == "debian:trixie-slim"
    assert log.read_text().endswith(" trixie -\n")


def test_making_it_fails(notes: Notes, programs: Callable[..., Path]) -> None:
    programs(mmdebstrap="echo 'E: cannot reach the archive' >&2; exit 25")
    with pytest.raises(SourceError, match="E: cannot reach the archive") as caught:
        ensure()
    assert "`apt-get update`) and has bookworm" in str(caught.value.hint)
    assert not notes.imported


def test_no_mmdebstrap_but_the_command_for_it(notes: Notes, programs: Callable[..., Path]) -> None:
    log = programs(apt_get="exit 1")
    with pytest.raises(SourceError, match="mmdebstrap, which can build it, is") as caught:
        ensure()
    assert "apt-get install --yes --no-install-recommends mmdebstrap" in str(caught.value.hint)
    assert log.read_text() == ""


def test_mmdebstrap_is_installed_where_that_is_allowed(
    notes: Notes, programs: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    log = programs(apt_get="exit 0")
    with pytest.raises(SourceError, match="mmdebstrap is not installed"):
        ensure(install=True)
    assert log.read_text().splitlines() == [
        "apt-get update",
        "apt-get install --yes --no-install-recommends mmdebstrap",
    ]


def test_no_debian_machine(notes: Notes, programs: Callable[..., Path]) -> None:
    programs()
    with pytest.raises(SourceError, match="this machine has no mmdebstrap") as caught:
        ensure(install=True)
    assert "docker save" in str(caught.value.hint)
