"""How certificates are changed: by the script of the credentials' image, without an engine."""

import json
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from nagoya.engine import containers, transfer
from nagoya.errors import LifecycleError
from nagoya.koji import credentials
from nagoya.koji.certificates import CREDENTIALS_LABEL
from nagoya.koji.credentials import RELOAD_LABEL, issue, renew, revoke
from nagoya.system.observed import CERTIFICATES_LABEL
from util import certificates
from util.names import Names

LABELS = {
    "kojicreds": {CREDENTIALS_LABEL: "issue", CERTIFICATES_LABEL: "/etc/pki/koji/certs"},
    "koji": {CERTIFICATES_LABEL: "/run/koji-hub/builders", RELOAD_LABEL: '["reload"]'},
    "kojidatabase": {RELOAD_LABEL: '["reload"]'},
    "kojibuilder": {},
}


@pytest.fixture
def system(
    load_script: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Any:
    """A system whose volume is a folder; `done` has what was run in its containers."""
    script = load_script("koji-credentials-volume/entrypoint.py")
    root, home = tmp_path / "volume", tmp_path / "home"
    script.prepare(root, Names())
    system: Any = SimpleNamespace(name="koji", engine=None, lock=nullcontext, done=[])
    system.owner = SimpleNamespace(home=home, container_labels=lambda name: {})
    system.restart = lambda names: system.done.append(("restart", *names))
    system.folder, system.home = root / "etc/pki/koji", home / ".koji/nagoya/koji"
    system.home.mkdir(parents=True)
    builders = root / "run/koji-hub/builders"
    builders.mkdir(parents=True)
    key = certificates.make_key().public_key()
    signed = certificates.Authority.load(system.folder).sign("kojibuilder", key, client=True)
    (builders / "kojibuilder.crt").write_bytes(certificates.pem(signed))

    def run_helper(container: Any, name: str, command: Any, labels: Any) -> tuple[int, str]:
        assert container == "kojicreds"
        assert name.startswith("koji-certify-")
        try:
            return 0, "\n".join(script.change(root, command[0], command[1:]))
        except script.entry.Fatal as refusal:
            return 1, str(refusal)

    def execute(container: Any, command: Any, *, seconds: float) -> tuple[int, str]:
        system.done.append((container, *command))
        return 0, ""

    def read_folder(container: Any, path: str) -> dict[str, bytes]:
        folder = root / path.lstrip("/")
        files = [file for file in folder.rglob("*") if file.is_file()]
        return {str(file.relative_to(folder)): file.read_bytes() for file in files}

    def read_file(container: Any, path: str) -> bytes:
        return (root / path.lstrip("/")).read_bytes()

    monkeypatch.setattr(credentials, "require_system", lambda *_: {name: name for name in LABELS})
    monkeypatch.setattr(containers, "label", lambda handle, name: LABELS[handle].get(name))
    running = SimpleNamespace(running=True, status="running")
    monkeypatch.setattr(containers, "state", lambda handle: running)
    monkeypatch.setattr(credentials, "run_helper", run_helper)
    monkeypatch.setattr(credentials, "execute", execute)
    monkeypatch.setattr(transfer, "read_folder", read_folder)
    monkeypatch.setattr(transfer, "read_file", read_file)
    return system


RELOADED = [("koji", "reload"), ("kojidatabase", "reload")]


def test_a_user_gets_files_which_nobody_has_to_be_told_of(system: Any) -> None:
    assert issue(system, ["alice"]) == ["alice"]
    assert issue(system, ["alice"]) == []
    for name in ("alice.pem", "alice_browser_cert.p12"):
        assert (system.home / name).read_bytes() == (system.folder / name).read_bytes()
    assert (system.home / "alice.pem").stat().st_mode & 0o077 == 0
    assert renew(system, ["alice"]) == ["alice"]
    assert system.done == []


def test_the_name_of_a_builder_is_no_user_s(system: Any) -> None:
    """One elsewhere has no container of that name."""
    with pytest.raises(LifecycleError, match="'kojibuilder' is the name of a builder"):
        issue(system, ["alice", "kojibuilder"])
    assert not (system.folder / "alice.pem").exists()


def test_what_is_renewed_is_written_where_it_was_and_used(system: Any) -> None:
    issue(system, ["alice"])
    (system.home / "kojiadmin.pem").write_text("old")
    renewed = renew(system, [], everything=True)
    assert {"alice", "kojiadmin", "kojihub", "kojiweb"} < set(renewed)
    assert {path.name for path in system.home.iterdir()} == {
        f"{name}{end}" for name in ("alice", "kojiadmin") for end in (".pem", "_browser_cert.p12")
    }
    for path in system.home.iterdir():
        assert path.read_bytes() == (system.folder / path.name).read_bytes()
    assert sorted(system.done) == RELOADED
    assert renew(system, []) == []


def test_a_revoked_user_keeps_nothing_and_kojiadmin_gets_another_key(system: Any) -> None:
    issue(system, ["alice", "bob"])
    (system.home / "kojiadmin.pem").write_text("old")
    revoke(system, ["alice", "kojiadmin"])
    assert not list(system.home.glob("alice*"))
    assert (system.home / "bob.pem").exists()
    path = system.home / "kojiadmin.pem"
    assert path.read_bytes() == (system.folder / path.name).read_bytes()
    assert sorted(system.done) == RELOADED
    with pytest.raises(LifecycleError, match="the certificate of 'alice' was revoked"):
        renew(system, ["alice"])
    assert issue(system, ["alice"]) == ["alice"]


@pytest.mark.parametrize("name", ["alice", "kojiadmin"])
def test_former_certificates_are_revoked_too(system: Any, name: str) -> None:
    issue(system, ["alice"])
    former = []
    for _ in range(2):
        former.append(certificates.load(system.folder / f"certs/{name}.crt").serial_number)
        renew(system, [name])
    revoke(system, [name])
    revoked = certificates.read_revocations(system.folder / "koji_ca.crl")
    assert {each.serial for each in revoked} > set(former)
    assert len({each.serial for each in revoked}) == len(revoked) == 3


def test_a_revocation_that_was_interrupted_is_completed(
    system: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no matter how far it came."""
    issue(system, ["alice"])
    with monkeypatch.context() as patch:
        patch.setattr(certificates.Authority, "write_revocations", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            revoke(system, ["alice"])
    for _ in range(2):
        revoke(system, ["alice"])
        assert len(certificates.read_revocations(system.folder / "koji_ca.crl")) == 1
        assert sorted(system.done) == RELOADED
        system.done.clear()


def test_a_revoked_builder_is_restarted(system: Any) -> None:
    revoke(system, ["kojibuilder"])
    assert len(certificates.read_revocations(system.folder / "koji_ca.crl")) == 1
    assert sorted(system.done) == [*RELOADED, ("restart", "kojibuilder")]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda system: revoke(system, ["bob", "alise"]), "no certificate of 'alise'"),
        (lambda system: renew(system, ["carol"]), "there is no certificate of 'carol'"),
        (lambda system: renew(system, ["kojibuilder"]), "which renews its own certificate"),
        (lambda system: issue(system, ["koji_ca_cert"]), "'koji_ca_cert' is reserved"),
        (lambda system: issue(system, ["kojiweb"]), "'kojiweb' is reserved"),
    ],
)
def test_a_mistake_changes_nothing(
    system: Any, change: Callable[[Any], object], message: str
) -> None:
    issue(system, ["bob"])
    before = json.dumps(sorted((str(p), p.stat().st_mtime_ns) for p in system.folder.rglob("*")))
    with pytest.raises(LifecycleError, match=message):
        change(system)
    after = json.dumps(sorted((str(p), p.stat().st_mtime_ns) for p in system.folder.rglob("*")))
    assert after == before
    assert system.done == []


def test_an_older_image_is_named(system: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "label", lambda handle, name: None)
    with pytest.raises(LifecycleError, match="has the authority") as error:
        issue(system, ["alice"])
    assert "moromi build" in str(error.value.hint)
