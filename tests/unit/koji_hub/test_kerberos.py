"""The keytab that Apache gets, for the user who runs the tests."""

import os
import pwd
import stat
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from util.entry import Fatal

USER = pwd.getpwuid(os.geteuid()).pw_name
KEYTAB = b"\x05\x02\x00\x00\x00\x3c\x00\x02\x00\x0bEXAMPLE.COM\x00\x04HTTP\x00\x04koji"


@pytest.fixture
def script(load_script: Callable[[str], ModuleType]) -> ModuleType:
    return load_script("koji-hub/kerberos.py")


def test_the_copy_is_private_and_goes_with_the_variable(script: ModuleType, tmp_path: Path) -> None:
    keytab, copy = tmp_path / "keytab", tmp_path / script.COPY
    keytab.write_bytes(KEYTAB)
    script.write(tmp_path, keytab, USER)
    assert copy.read_bytes() == KEYTAB
    assert stat.S_IMODE(copy.stat().st_mode) == 0o400
    script.write(tmp_path, None, USER)
    assert not copy.exists()
    script.write(tmp_path, None, USER)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file"),
        (b"[libdefaults]", "is not a keytab"),
        (KEYTAB.replace(b"HTTP", b"host"), "has no key of a principal HTTP/HOST@REALM"),
    ],
)
def test_what_is_no_keytab_of_a_server(
    script: ModuleType, tmp_path: Path, content: bytes | None, reason: str
) -> None:
    keytab = tmp_path / "keytab"
    if content is not None:
        keytab.write_bytes(content)
    with pytest.raises(Fatal, match=rf"^KOJI_KEYTAB: .*{reason}") as refusal:
        script.write(tmp_path, keytab, USER)
    assert "ktadd" in str(refusal.value.hint)
    assert not (tmp_path / script.COPY).exists()
