"""What the engine answers, where no engine is needed to see what becomes of it."""

import io
import tarfile
from types import SimpleNamespace
from typing import Any, cast

import docker.errors
import pytest
import requests

from nagoya.engine import Engine, Handle, containers, transfer
from nagoya.errors import EngineError


def archive(content: bytes) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        member = tarfile.TarInfo("file")
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
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


def refusing(
    monkeypatch: pytest.MonkeyPatch, *answers: docker.errors.APIError
) -> tuple[Handle, list[dict[str, Any]]]:
    """A running container of which the engine refuses updates with `answers`, and those it took."""
    refusals = list(answers)
    updates: list[dict[str, Any]] = []

    def update(**changes: Any) -> None:
        if refusals:
            raise refusals.pop(0)
        updates.append(changes)

    container = SimpleNamespace(name="koji", update=update)
    monkeypatch.setattr(containers, "state", lambda container: SimpleNamespace(restart="always"))
    return Handle(cast(Engine, None), cast(Any, container)), updates


def refusal(explanation: str, status: int = 500) -> docker.errors.APIError:
    response = requests.Response()
    response.status_code = status
    return docker.errors.APIError("refused", response=response, explanation=explanation)


# What Docker 20.10 said of containers that exited in the same moment.
EXITING = [
    "Cannot update container 8c0ffee: cannot update a stopped container: unknown",
    "Cannot update container 8c0ffee: cannot update a deleted process: unknown",
    "Cannot update container 8c0ffee: task 8c0ffee not found: not found",
]


def test_the_restart_policy_of_a_container_that_exits_at_the_moment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    container, updates = refusing(monkeypatch, *map(refusal, EXITING))
    containers.set_restart_policy(container, "no")
    assert updates == [{"restart_policy": {"Name": "no", "MaximumRetryCount": 0}}]


def test_a_restart_policy_that_the_engine_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    container, updates = refusing(monkeypatch, refusal("no space left on device"))
    with pytest.raises(EngineError, match="restart policy of koji: no space left"):
        containers.set_restart_policy(container, "no")
    assert updates == []


def test_a_container_that_can_never_be_updated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "_EXIT_SECONDS", 0.0)
    container, _ = refusing(monkeypatch, *map(refusal, EXITING))
    with pytest.raises(EngineError, match="stopped container"):
        containers.set_restart_policy(container, "no")


def test_an_engine_that_cannot_update_containers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Podman before 5.1."""
    container, updates = refusing(monkeypatch, refusal("page not found", 404))
    containers.set_restart_policy(container, "no")
    assert updates == []
