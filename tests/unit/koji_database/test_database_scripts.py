"""koji-database's scripts on a temporary root, for the user who runs the tests."""

import os
import pwd
import stat
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import ModuleType

import pytest

from util import certificates, files
from util.certificates import Authority
from util.entry import Fatal

USER = pwd.getpwuid(os.geteuid()).pw_name


@pytest.fixture
def script(load_script: Callable[[str], ModuleType]) -> ModuleType:
    return load_script("koji-database/entrypoint.py")


@pytest.fixture
def setup(load_script: Callable[[str], ModuleType]) -> ModuleType:
    return load_script("koji-database/setup.py")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with finished credentials and a /dev/shm."""
    folder = tmp_path / "etc/pki/koji"
    folder.mkdir(parents=True)
    Authority.create(folder).issue("kojidatabase", server=True)
    files.mark_done(folder)
    (tmp_path / "dev/shm").mkdir(parents=True)
    return tmp_path


def test_every_file_that_postgresql_reads_is_copied(
    script: ModuleType, setup: ModuleType, root: Path
) -> None:
    for _ in range(2):
        script.copy_credentials(root, USER)
    copies = sorted((root / script.COPIES).iterdir())
    names = ["ca.crt", "revoked.crl", "server.crt", "server.key"]
    assert [path.name for path in copies] == names
    for copy in copies:
        revoked = copy.name == script.REVOKED
        assert stat.S_IMODE(copy.stat().st_mode) == (0o644 if revoked else 0o400)
        assert revoked or f"'/{copy.relative_to(root)}'" in setup.SETTINGS


def test_an_error_of_postgresql_is_one_line(
    setup: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(setup, "SOCKETS", tmp_path)
    with (
        pytest.raises(Fatal, match=r"^PostgreSQL: connection .* failed: .*$"),
        setup.connected("a"),
    ):
        pass


def test_an_expired_certificate_is_told_in_one_line(
    script: ModuleType, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certificates, "CERTIFICATE_LIFE", timedelta(minutes=30))
    certificates.Authority.load(root / "etc/pki/koji").renew("kojidatabase")
    with pytest.raises(Fatal, match=r"^expired certificates: kojidatabase \(") as refusal:
        script.copy_credentials(root, USER)
    assert "`toji credentials renew`" in str(refusal.value.hint)


def test_refuses_credentials_without_their_marker(script: ModuleType, root: Path) -> None:
    (root / "etc/pki/koji/.complete").unlink()
    with pytest.raises(Fatal, match="there are no credentials") as refusal:
        script.copy_credentials(root, USER)
    assert "--volumes-from kojicreds:ro" in str(refusal.value.hint)
    assert not (root / script.COPIES).exists()


def test_waits_for_its_credentials(script: ModuleType, tmp_path: Path) -> None:
    """A folder that is not mounted will not be filled."""
    script.wait_for_credentials(tmp_path, 0)
    folder = tmp_path / "etc/pki/koji"
    folder.mkdir(parents=True)
    with pytest.raises(Fatal, match="gave up waiting for koji-credentials-volume") as refusal:
        script.wait_for_credentials(tmp_path, 0)
    assert "/etc/pki/koji-database" in str(refusal.value.hint)
    files.mark_done(folder)
    script.wait_for_credentials(tmp_path, 0)


def test_makes_the_directory_of_the_socket(script: ModuleType, tmp_path: Path) -> None:
    for _ in range(2):
        script.make_socket_directory(tmp_path, USER)
    assert (tmp_path / "run/postgresql").is_dir()


@pytest.mark.parametrize("argv", [["psql", "koji"], ["bash"]])
def test_passes_a_command_through(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, argv: list[str]
) -> None:
    class Executed(Exception):
        pass

    def execute(command: list[str], user: str | None = None) -> None:
        raise Executed(command, user)

    monkeypatch.setattr(script.entry, "exec_command", execute)
    with pytest.raises(Executed) as executed:
        script.main(argv)
    assert executed.value.args == (argv, None)


def test_only_the_hub_gets_in_from_the_network(setup: ModuleType) -> None:
    rules = [line.split() for line in setup.ACCESS.splitlines() if not line.startswith("#")]
    assert rules == [
        ["local", "all", "postgres", "peer"],
        ["hostssl", "koji", "koji", "all", "cert", "clientcert=verify-full", "map=koji"],
    ]
    roles = [line.split() for line in setup.ROLES.splitlines() if not line.startswith("#")]
    assert roles == [["koji", "kojihub", "koji"]]


def test_configures_a_cluster(setup: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "postgresql.conf").write_text("fsync = on\n")
    setup.configure(tmp_path)
    assert (tmp_path / "postgresql.conf").read_text() == "fsync = on\n\ninclude = 'koji.conf'\n"
    assert "ssl = on" in (tmp_path / "koji.conf").read_text()
    assert "fsync" not in setup.SETTINGS
