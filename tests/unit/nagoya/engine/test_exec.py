"""What a command in a container writes, as the engine sends it."""

import re
import socket
import struct
import time
from collections.abc import Iterable

import pytest

from nagoya.engine.exec import ExecSession
from nagoya.engine.transfer import _UNCHANGED
from nagoya.errors import EngineError


def session(frames: Iterable[tuple[int, bytes]], status: int) -> ExecSession:
    ours, engines = socket.socketpair()
    for number, data in frames:
        engines.sendall(struct.pack(">BxxxL", number, len(data)) + data)
    engines.close()
    ours.settimeout(0)
    opened = ExecSession.__new__(ExecSession)
    vars(opened).update(
        _socket=ours, _received=b"", _unsent=b"", _eof_wanted=False, _doing="running tar in koji",
        _deadline=time.monotonic() + 10, _seconds=10, _wait=lambda: status,
    )  # fmt: skip
    return opened


def streamed(errors: str, status: int, harmless: re.Pattern[str] | None = _UNCHANGED) -> bytes:
    frames = [(1, b"one"), (2, errors.encode()), (1, b"two")]
    return b"".join(session(frames, status).stream(harmless))


def test_a_new_hard_link_of_a_file_is_no_failure_of_tar() -> None:
    changed = "tar: +backup/a b: file changed as we read it\ntar: +backup/s: socket ignored\n"
    assert streamed(changed, 1) == b"onetwo"


@pytest.mark.parametrize(
    "errors",
    [
        "",
        "tar: a: Cannot open: Permission denied\n",
        "tar: a: file changed as we read it\ntar: b: File removed before we read it\n",
    ],
)
def test_any_other_failure_of_tar_is_one(errors: str) -> None:
    with pytest.raises(EngineError, match=r"running tar in koji: (tar: a|exit status 2)"):
        streamed(errors, 2)


def test_endless_messages_are_not_kept() -> None:
    with pytest.raises(EngineError) as raised:
        streamed("e" * 100_000, 2, None)
    assert len(raised.value.message) < 70_000
