"""koji-credentials-volume/entrypoint.py on a temporary root."""

import ipaddress
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from util import credentials
from util.certificates import Authority
from util.entry import Fatal
from util.environment import Environment


@pytest.fixture
def script(load_script: Callable[[str], ModuleType]) -> ModuleType:
    return load_script("koji-credentials-volume/entrypoint.py")


def tree(root: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path.relative_to(root)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in root.rglob("*")
        if path.is_file()
    }


def test_reads_names_and_addresses(script: ModuleType) -> None:
    environment = Environment({"NAMES": "koji.example.org, 192.0.2.7,2001:db8::7"})
    names = script.read_names(environment, "NAMES", ["koji"])
    environment.check()
    assert names.dns == ("koji", "localhost", "koji.example.org")
    addresses = ("127.0.0.1", "::1", "192.0.2.7", "2001:db8::7")
    assert names.ips == tuple(ipaddress.ip_address(one) for one in addresses)


@pytest.mark.parametrize("word", ["-a", "a/b", "a..b", "*.example.org", "1.2.3", "::x", "ü.de"])
def test_refuses_what_is_neither(script: ModuleType, word: str) -> None:
    environment = Environment({"NAMES": f"good.example.org {word}"})
    script.read_names(environment, "NAMES", [])
    with pytest.raises(Fatal) as refusal:
        environment.check()
    assert f"NAMES: {word!r} is neither a DNS name nor an IP address" in str(refusal.value)


def test_makes_all_once(
    script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = script.Names(("koji",), ())
    script.prepare(tmp_path, names, names)
    first = tree(tmp_path)
    script.prepare(tmp_path, names, names)
    assert tree(tmp_path) == first
    said = capsys.readouterr().err.splitlines()
    assert "made the certificates" in said[0]
    assert "is complete already" in said[1]


@pytest.mark.parametrize("broken_off_at", ["kojihub", "kojidatabase", "kojiweb"])
def test_never_goes_on_with_a_half_made_volume(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken_off_at: str
) -> None:
    issue = script.certificates.Authority.issue

    def failing(self: object, name: str, *args: object, **kwargs: object) -> None:
        if name == broken_off_at:
            raise OSError(28, "No space left on device")
        issue(self, name, *args, **kwargs)

    names = script.Names(("koji",), ())
    monkeypatch.setattr(script.certificates.Authority, "issue", failing)
    with pytest.raises(OSError, match="No space left"):
        script.prepare(tmp_path, names, names)
    monkeypatch.undo()
    before = tree(tmp_path)
    with pytest.raises(Fatal, match="is incomplete"):
        script.prepare(tmp_path, names, names)
    assert tree(tmp_path) == before


def test_health(
    script: ModuleType, load_script: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    health = load_script("koji-credentials-volume/health.py")
    (tmp_path / "etc/pki/koji").mkdir(parents=True)
    with pytest.raises(LookupError, match="is empty"):
        health.question(tmp_path)
    names = script.Names(("koji",), ())
    script.prepare(tmp_path, names, names)
    assert "certificates in" in health.question(tmp_path)


def test_a_user_gets_a_certificate_once(script: ModuleType, tmp_path: Path) -> None:
    names = script.Names(("koji",), ())
    script.prepare(tmp_path, names, names)
    folder = tmp_path / credentials.FOLDER
    before = tree(folder)
    script.issue_for_users(tmp_path, ["alice"])
    issued = tree(folder)
    assert set(issued) - set(before) == {
        "alice.pem", "alice_browser_cert.p12", "certs/alice.crt", "private/alice.key",
    }  # fmt: skip
    script.issue_for_users(tmp_path, ["alice"])
    assert tree(folder) == issued


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "`user` needs the names of users"),
        *(([name], f"{name!r} is reserved") for name in credentials.RESERVED),
        (["kojibuilder"], "'kojibuilder' is the name of a builder"),
        (["../alice"], "'../alice' is not a valid name for a certificate"),
    ],
)
def test_who_gets_none(script: ModuleType, tmp_path: Path, names: list[str], message: str) -> None:
    own = script.Names(("koji",), ())
    script.prepare(tmp_path, own, own)
    # As the builder itself does.
    Authority.load(tmp_path / credentials.FOLDER).issue("kojibuilder", client=True)
    with pytest.raises(Fatal, match=re.escape(message)):
        script.issue_for_users(tmp_path, names)


def test_without_an_authority_nobody_gets_one(script: ModuleType, tmp_path: Path) -> None:
    (tmp_path / credentials.FOLDER).mkdir(parents=True)
    with pytest.raises(Fatal, match="there is no certificate authority in"):
        script.issue_for_users(tmp_path, ["alice"])
