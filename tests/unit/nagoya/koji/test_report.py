"""A report holds no secret, and whatever can be read of a broken system."""

import json
import tarfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from nagoya.errors import EngineError, LifecycleError
from nagoya.koji import profile, report
from nagoya.koji.report import (
    redact,
    secret_values,
    without_secrets,
    write_report,
)

# Joined from pieces, or a search of this repository for keys would find one.
KIND = b"EC PRIVATE" + b" KEY"
KEY = b"-----BEGIN %s-----\nMHcCAQEE\n-----END %s-----\n" % (KIND, KIND)

MOROMI = """
containers:
  koji:
    environment:
      # set to t0p-secret by hand
      KOJI_WEB_SECRET: t0p-secret
      KOJI_SITE_NAME: mine
      mail_password: |
        one line
        and more
images: {demo: {system: {secrets: false}}}
"""


def test_private_keys_are_left_out_wherever_they_stand() -> None:
    log = b"before\n" + KEY + b"between\n" + KEY.replace(b"EC ", b"") + b"after\n"
    assert redact(log) == b"before\n(a private key)\nbetween\n(a private key)\nafter\n"


def test_a_private_key_that_is_cut_off_is_left_out_too() -> None:
    assert b"MHcC" not in redact(b"before\n" + KEY.partition(b"QEE")[0])


def test_a_certificate_stays() -> None:
    certificate = b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
    assert redact(certificate) == certificate


def test_the_key_of_a_session_is_left_out_of_a_log_of_requests() -> None:
    line = b'POST /kojihub?session-id=12&session-key=34-AbC&callnum=5 HTTP/1.1" 200'
    assert redact(line) == b'POST /kojihub?session-id=...&session-key=...&callnum=... HTTP/1.1" 200'


def test_passwords_in_urls_are_left_out_whatever_names_them() -> None:
    assert redact(b"GIT=https://bob:hunter22@host/x") == b"GIT=https://bob:...@host/x"
    assert redact(b"https://bob:hunt@r@host/x") == b"https://bob:...@host/x"
    # Tokens take the place of the user, as for GitHub.
    assert redact(b"git+https://ghp_1x@host/x#y") == b"git+https://...@host/x#y"
    for harmless in (b"https://host:8443/a@b", b"ssh://git@host/x", b"mail bob@host"):
        assert redact(harmless) == harmless


def test_what_a_request_authorizes_itself_with_is_left_out() -> None:
    assert redact(b"> Authorization: Bearer abc.def\n> Host: x") == (
        b"> Authorization: ...\n> Host: x"
    )
    assert b"abc" not in redact(b'{"authorization": "Basic abc="}')


@pytest.mark.parametrize(
    "text",
    [
        "run --password hunter22 now", "run --db-token=hunter22", "password: hunter22",
        "Secret = 'hunter22'", '{"password": "hunter22", "user": "bob"}',
        json.dumps(json.dumps({"api_token": "hunter22"})), "run --passwd 'hunter22'",
        json.dumps(["run", "--password", "hunter22"], indent=2), "- --password\n  - hunter22",
        "a: |\n  password: hunter22\n  other: x",
    ],
)  # fmt: skip
def test_what_is_called_a_password_is_left_out(text: str) -> None:
    assert b"hunter22" not in redact(text.encode())


@pytest.mark.parametrize(
    "text", ["secrets: false", "password:\nname: x", "the password was wrong", "--tokens"]
)
def test_what_only_speaks_of_secrets_stays(text: str) -> None:
    assert redact(text.encode()) == text.encode()


def test_a_secret_is_left_out_wherever_it_stands() -> None:
    secrets = secret_values([("KOJI_WEB_SECRET", 'a"secret'), ("NAME", "harmless"), ("KEY", "1")])
    assert secrets == {'a"secret', "1"}
    assert secret_values([("db_pw", "a"), ("DB_PWD", "b"), ("UPWARD", "c")]) == {"a", "b"}
    clean = redact(b'1 harmless a"secret ' + json.dumps('a"secret').encode(), secrets)
    assert clean == b'1 harmless ... "..."'


def test_variables_that_may_be_secret_lose_their_values() -> None:
    inspected = {
        "Name": "/koji",
        "Config": {"Env": ["KOJI_WEB_SECRET=hidden", "KOJI_SITE_NAME=mine", "DB_PASSWORD=x=y"]},
    }
    assert without_secrets(inspected) == {
        "Name": "/koji",
        "Config": {"Env": ["KOJI_WEB_SECRET=...", "KOJI_SITE_NAME=mine", "DB_PASSWORD=..."]},
    }
    assert inspected["Config"]["Env"][0] == "KOJI_WEB_SECRET=hidden"  # type: ignore[index]


def test_a_declaration_loses_secret_values() -> None:
    clean = without_secrets(yaml.safe_load(MOROMI))
    assert clean["containers"]["koji"]["environment"] == {
        "KOJI_WEB_SECRET": "...",
        "KOJI_SITE_NAME": "mine",
        "mail_password": "...",
    }
    assert clean["images"] == {"demo": {"system": {"secrets": False}}}


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A system whose hub, and one of whose logs, cannot be read."""
    (tmp_path / "moromi.yml").write_text(MOROMI)

    def log(handle: Any) -> list[str]:
        if handle.name == "koji":
            raise EngineError("configured logging driver does not support reading")
        return ["started with t0p-secret"]

    def version() -> Any:
        raise EngineError("the engine does not answer")

    handles = {
        name: SimpleNamespace(
            name=name, inspected={"Config": {"Env": ["KOJI_WEB_SECRET=t0p-secret"]}}
        )
        for name in ("koji", "kojidatabase")
    }
    for module in (report, profile):
        monkeypatch.setattr(module, "require_system", lambda engine, name: handles)
    monkeypatch.setattr(report.containers, "log", log)
    monkeypatch.setattr(report.containers, "inspect", lambda handle: handle.inspected)
    return SimpleNamespace(
        name="some",
        engine=SimpleNamespace(version=version),
        owner=SimpleNamespace(home=tmp_path),
        declaration=SimpleNamespace(files=[tmp_path / "moromi.yml"], containers={}),
        progress=SimpleNamespace(update=lambda *arguments: None),
    )


def test_a_part_that_cannot_be_read_is_named_and_ends_nothing(broken: Any, tmp_path: Path) -> None:
    write_report(broken, tmp_path / "r.tar.gz")
    with tarfile.open(tmp_path / "r.tar.gz") as archive:
        files = {
            member.name: archive.extractfile(member).read().decode()  # type: ignore[union-attr]
            for member in archive
        }
    assert "does not answer" in files["r/versions.json.missing.txt"]
    assert "does not support reading" in files["r/containers/koji.log.missing.txt"]
    assert files["r/containers/kojidatabase.log"] == "started with ..."
    assert "koji.json" in files["r/hub.json.missing.txt"]
    assert {"r/moromi.yml", "r/containers/koji.json"} <= set(files)
    assert not [name for name, content in files.items() if "t0p-secret" in content]


def test_a_file_that_exists_is_not_overwritten(broken: Any, tmp_path: Path) -> None:
    path = tmp_path / "r.tar.gz"
    path.write_text("mine")
    with pytest.raises(LifecycleError, match="exists already"):
        write_report(broken, path)
    assert path.read_text() == "mine"
    write_report(broken, path, overwrite=True)
    assert tarfile.is_tarfile(path)
