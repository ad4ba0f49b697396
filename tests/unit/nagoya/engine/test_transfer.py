"""What engines send of a container's files, and what callers get."""

import io
import tarfile
from types import SimpleNamespace
from typing import Any, cast

import pytest

from nagoya.engine import transfer
from nagoya.engine.client import Engine, Handle


def archive(root: str) -> bytes:
    """A folder with a file and a hard link to it; `root` is the folder's name."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        folder = tarfile.TarInfo(f"{root}/")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        file = tarfile.TarInfo(f"{root}/file")
        file.size = 7
        tar.addfile(file, io.BytesIO(b"content"))
        link = tarfile.TarInfo(f"{root}/link")
        link.type, link.linkname = tarfile.LNKTYPE, f"{root}/file"
        tar.addfile(link)
    content = packed.getvalue()
    if not root:  # tarfile leaves out the slash of a folder without a name
        tar_header = bytearray(content[:512])
        tar_header[:1] = b"/"
        tar_header[148:156] = b" " * 8
        tar_header[148:156] = b"%06o\0 " % sum(tar_header)
        content = bytes(tar_header) + content[512:]
    return content


def holding(packed: bytes, size: int) -> Handle:
    chunks = (packed[start : start + size] for start in range(0, len(packed), size))
    container = SimpleNamespace(name="koji", get_archive=lambda path: (chunks, {}))
    return Handle(cast(Engine, None), cast(Any, container))


@pytest.mark.parametrize("root", ["pki", ""])
@pytest.mark.parametrize("size", [100, 4096])
def test_a_folder_is_named_whatever_podman_calls_it(root: str, size: int) -> None:
    """Podman does not name a volume of a container that does not run."""
    chunks = transfer.read_chunks(holding(archive(root), size), "/etc/pki")
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as answer:
        assert answer.getnames() == ["pki", "pki/file", "pki/link"]
        assert answer.getmember("pki/link").linkname == "pki/file"
        link = answer.extractfile("pki/link")
        assert link and link.read() == b"content"


def test_the_files_of_a_folder_without_a_name() -> None:
    contents = transfer.read_folder(holding(archive(""), 4096), "/etc/pki")
    assert contents == {"file": b"content"}


def test_the_files_of_the_root_folder() -> None:
    contents = transfer.read_folder(holding(archive(""), 4096), "/")
    assert contents == {"file": b"content"}
