"""What the engine answers, where no engine is needed to see what becomes of it."""

import io
import tarfile
from types import SimpleNamespace
from typing import Any, cast

import docker
import pytest

from nagoya.engine import Engine, Handle, transfer
from nagoya.engine.client import Address
from nagoya.engine.creation import Specification, create
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


def test_an_engine_elsewhere_publishes_no_ports() -> None:
    engine = Engine(cast(docker.DockerClient, None), Address("tcp://192.0.2.1:2375"))
    wanted = Specification(
        name="koji",
        image="koji-hub",
        hostname="koji",
        network="koji",
        labels={},
        ports={443: 8443},
        stop_timeout=1,
    )
    with pytest.raises(EngineError, match=r"192\.0\.2\.1, .*cannot reach") as caught:
        create(engine, wanted)
    assert "run toji on 192.0.2.1" in str(caught.value.hint)
