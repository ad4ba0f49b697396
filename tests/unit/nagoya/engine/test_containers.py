"""What the engine answers, where no engine is needed to see what becomes of it."""

import io
import tarfile
from types import SimpleNamespace
from typing import Any, cast

import pytest

from nagoya.engine import Engine, Handle, transfer
from nagoya.errors import EngineError


def archive(content: bytes) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as made:
        member = tarfile.TarInfo("file")
        member.size = len(content)
        made.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def holding(packed: bytes) -> Handle:
    """A container of which the engine sends this archive, whatever is asked for."""
    container = SimpleNamespace(name="koji", get_archive=lambda path: (iter([packed]), {}))
    return Handle(cast(Engine, None), cast(Any, container))


def test_a_file_of_a_container() -> None:
    assert transfer.read_file(holding(archive(b"content")), "/file") == b"content"


@pytest.mark.parametrize("size", [0, 100, 512, 700])
def test_an_archive_that_is_cut_off(size: int) -> None:
    with pytest.raises(EngineError, match="/file out of koji"):
        transfer.read_file(holding(archive(b"content" * 100)[:size]), "/file")
    with pytest.raises(EngineError, match="/folder out of koji"):
        transfer.read_folder(holding(archive(b"content" * 100)[:size]), "/folder")
