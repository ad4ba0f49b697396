"""The hub's bundles for builders elsewhere, on a temporary root."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from util import certificates
from util.entry import Fatal

koji = pytest.importorskip("koji")

HUB = "https://koji.example.com:8443/kojihub"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A hub that shows its certificate for koji.example.com and an address."""
    folder = tmp_path / "etc/pki/koji"
    folder.mkdir(parents=True)
    authority = certificates.Authority.create(folder)
    authority.issue("kojiadmin", client=True, browser=True)
    (tmp_path / "dev/shm/koji-tls").mkdir(parents=True)
    own = certificates.make_key().public_key()
    names = ("koji", "localhost", "koji.example.com", "hub.example.com")
    shown = certificates.pem(authority.sign("kojihub", own, names, server=True))
    (tmp_path / "dev/shm/koji-tls/hub.pem").write_bytes(shown)
    (tmp_path / "run/koji-hub/builders").mkdir(parents=True)
    return tmp_path


@pytest.fixture
def hub() -> SimpleNamespace:
    """A session of a hub that knows no user and no host."""
    none = SimpleNamespace(getUser=lambda name: None, getHost=lambda name: None)
    none.logout = lambda: None
    return none


@pytest.fixture
def script(
    load_script: Callable[[str], ModuleType], hub: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> Any:
    script = load_script("koji-hub/make_bundle.py")
    monkeypatch.setattr(script.registrar.Registrar, "login", lambda self: hub)
    return script


def test_a_bundle_has_a_certificate_of_its_own_key_on_record(script: Any, root: Path) -> None:
    bundle = script.make(root, "far", HUB)
    assert (bundle.name, bundle.hub) == ("far", HUB)
    recorded = (root / "run/koji-hub/builders/far.crt").read_text()
    assert bundle.certificate == recorded
    folder = root / "builder"
    (folder / "private").mkdir(parents=True)
    (folder / "certs").mkdir()
    (folder / "koji_ca_cert.crt").write_text(bundle.authority)
    (folder / "far.pem").write_text(bundle.key + bundle.certificate)
    (folder / "certs/far.crt").write_text(bundle.certificate)
    certificates.check(folder, "far")
    assert script.make(root, "further", HUB).key != bundle.key


def test_a_name_has_one_bundle_until_it_is_revoked(
    script: Any, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = script.make(root, "far", HUB)
    with pytest.raises(Fatal, match="there is a builder named far already") as refusal:
        script.make(root, "far", HUB)
    assert "toji credentials revoke far" in str(refusal.value.hint)
    issued = certificates.load_all(root / "run/koji-hub/builders/far.crt")
    certificates.Authority.load(root / "etc/pki/koji").revoke("far", issued)
    assert script.make(root, "far", HUB).key != first.key
    with monkeypatch.context() as patch:
        patch.setattr(certificates, "CERTIFICATE_LIFE", timedelta(minutes=30))
        script.make(root, "old", HUB)
    assert script.make(root, "old", HUB)


def test_of_two_people_at_once_one_gets_a_bundle(script: Any, root: Path) -> None:
    def make(_: int) -> str | None:
        try:
            return str(script.make(root, "far", HUB).certificate)
        except Fatal as refusal:
            assert "there is a builder named far already" in str(refusal)
            return None

    with ThreadPoolExecutor() as pool:
        bundles = [each for each in pool.map(make, range(4)) if each]
    assert bundles == [(root / "run/koji-hub/builders/far.crt").read_text()]


def test_a_builder_at_work_keeps_its_name(
    script: Any, root: Path, hub: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a restore, when the record of certificates is gone."""
    monkeypatch.setattr(script.registrar.time, "time", lambda: 1000.0)
    hub.getHost = lambda name: {"id": 1, "enabled": True}
    hub.getLastHostUpdate = lambda host, ts: 995.0
    with pytest.raises(Fatal, match="there is a builder named far already"):
        script.make(root, "far", HUB)
    hub.getLastHostUpdate = lambda host, ts: 900.0
    assert script.make(root, "far", HUB)
    issued = certificates.load_all(root / "run/koji-hub/builders/far.crt")
    certificates.Authority.load(root / "etc/pki/koji").revoke("far", issued)
    hub.getLastHostUpdate = lambda host, ts: 995.0
    assert script.make(root, "far", HUB)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("kojiadmin", "is the name of a user"),
        ("kojihub", "is the name of a user"),
        ("a b", "cannot be a builder's name"),
        ("../far", "cannot be a builder's name"),
        ("", "cannot be a builder's name"),
        ("x" * 64, "cannot be a builder's name"),
    ],
)
def test_a_name_that_no_builder_can_have(script: Any, root: Path, name: str, message: str) -> None:
    with pytest.raises(Fatal, match=message):
        script.make(root, name, HUB)


def test_the_name_of_a_user_of_the_hubs(script: Any, root: Path, hub: SimpleNamespace) -> None:
    hub.getUser = lambda name: {"usertype": koji.USERTYPES["NORMAL"]}
    with pytest.raises(Fatal, match="'alice' is the name of a user"):
        script.make(root, "alice", HUB)


def test_the_hubs_certificate_has_to_be_valid_for_the_url(
    script: Any, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Fatal, match=r"not valid for evil\.example\.com") as refusal:
        script.make(root, "far", "https://evil.example.com/kojihub")
    assert "there are: hub.example.com, koji.example.com." in str(refusal.value.hint)
    monkeypatch.setenv("KOJI_WEB_URL", "https://koji.example.com/koji")
    assert script.make(root, "far", HUB)
    # Now that name has the site's certificate.
    (root / "dev/shm/koji-tls/site.pem").touch()
    with pytest.raises(Fatal, match=r"the site's certificate to those who call koji\.example\.com"):
        script.make(root, "further", HUB)
    assert script.make(root, "further", "https://hub.example.com/kojihub")
