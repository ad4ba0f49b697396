"""koji-hub's connection to PostgreSQL: the parameters that libpq gets, for the user who runs the
tests."""

import os
import pwd
import stat
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import psycopg2
import pytest
from psycopg2.extensions import parse_dsn

from util.entry import Fatal
from util.environment import Environment

USER = pwd.getpwuid(os.geteuid()).pw_name
URL = "postgresql://koji@db.example.com:5433/builds?sslrootcert=/etc/db/ca.crt"


@pytest.fixture
def script(load_script: Callable[[str], ModuleType]) -> ModuleType:
    return load_script("koji-hub/database.py")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for folder in ("etc/db", "etc/pki/koji", "private"):
        (tmp_path / folder).mkdir(parents=True)
    for name in ("etc/db/ca.crt", "etc/db/own.crt", "etc/db/own.key"):
        (tmp_path / name).write_text(name)
    for name in ("koji_ca_cert.crt", "kojihub.pem"):
        (tmp_path / "etc/pki/koji" / name).write_text(name)
    return tmp_path


def parameters(script: ModuleType, root: Path, **values: str) -> dict[str, str]:
    """What the hub's processes connect with. Files are copies, which only they can read."""
    environment = Environment(values)
    database = script.Database.read(environment, root)
    environment.check()
    dsn: dict[str, str] = parse_dsn(database.address(root, Path("private"), USER))
    for name in (*script.FILES, "passfile"):
        if dsn.get(name, "system") != "system":
            path = Path(dsn[name])
            assert (path.parent, stat.S_IMODE(path.stat().st_mode)) == (root / "private", 0o400)
            dsn[name] = path.read_text()
    return dsn


def test_kojis_own_database(script: ModuleType, root: Path) -> None:
    dsn = parameters(script, root)
    assert dsn["host"] == "kojidatabase"
    assert dsn["sslmode"] == "verify-full"
    assert dsn["sslrootcert"] == "koji_ca_cert.crt"
    assert dsn["sslcert"] == dsn["sslkey"] == "kojihub.pem"


def test_a_database_of_the_sites_own_knows_the_hub_by_its_certificate(
    script: ModuleType, root: Path
) -> None:
    dsn = parameters(script, root, KOJI_DATABASE_URL=URL)
    assert (dsn["host"], dsn["port"], dsn["dbname"]) == ("db.example.com", "5433", "builds")
    assert dsn["sslmode"] == "verify-full"
    assert dsn["sslrootcert"] == "etc/db/ca.crt"
    assert dsn["sslcert"] == dsn["sslkey"] == "kojihub.pem"


def test_a_certificate_of_the_sites_own(script: ModuleType, root: Path) -> None:
    url = f"{URL}&sslcert=/etc/db/own.crt&sslkey=/etc/db/own.key"
    dsn = parameters(script, root, KOJI_DATABASE_URL=url)
    assert (dsn["sslcert"], dsn["sslkey"]) == ("etc/db/own.crt", "etc/db/own.key")
    dsn = parameters(script, root, KOJI_DATABASE_URL=f"{URL}&sslcert=/etc/db/own.key")
    assert (dsn["sslcert"], dsn["sslkey"]) == ("etc/db/own.key", "etc/db/own.key")


def test_a_password_is_in_a_file_alone(script: ModuleType, root: Path) -> None:
    (root / "secret").write_text("a:b\\c'd\n")
    values = {"KOJI_DATABASE_URL": URL, "KOJI_DATABASE_PASSWORD_FILE": str(root / "secret")}
    dsn = parameters(script, root, **values)
    assert dsn["passfile"] == "*:*:*:*:a\\:b\\\\c'd\n"
    assert "password" not in dsn
    assert "sslcert" not in dsn
    assert "a:b" not in repr(script.Database.read(Environment(values), root))


def test_the_parameters_of_libpq_are_the_sites(script: ModuleType, root: Path) -> None:
    url = "postgresql://other@a,b/koji?sslmode=require&connect_timeout=9&sslrootcert=system"
    dsn = parameters(script, root, KOJI_DATABASE_URL=url)
    assert (dsn["user"], dsn["host"], dsn["connect_timeout"]) == ("other", "a,b", "9")
    assert dsn["sslmode"] == "require"


@pytest.mark.parametrize("url", ["mysql://db/koji", "postgresql://koji:secret@db/koji"])
def test_a_url_that_cannot_be_read_has_one_problem(
    script: ModuleType, root: Path, url: str
) -> None:
    environment = Environment({"KOJI_DATABASE_URL": url})
    script.Database.read(environment, root)
    with pytest.raises(Fatal) as refusal:
        environment.check()
    assert str(refusal.value).count("KOJI_DATABASE_URL: ") == 1


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        ('FATAL:  password authentication failed for user "koji"', "KOJI_DATABASE_PASSWORD_FILE"),
        ("fe_sendauth: no password supplied", "KOJI_DATABASE_PASSWORD_FILE"),
        ('FATAL:  certificate authentication failed for user "koji"', "pg_ident.conf"),
        ('FATAL:  no pg_hba.conf entry for host "192.0.2.1", user "koji"', "pg_hba.conf"),
        ("SSL error: certificate verify failed", "sslrootcert"),
        ('server certificate for "a" does not match host name "b"', "in its certificate"),
        ('FATAL:  database "koji" does not exist', "createdb"),
        ('FATAL:  role "koji" does not exist', "createuser"),
    ],
)
def test_what_no_waiting_mends_is_final(
    script: ModuleType, root: Path, monkeypatch: pytest.MonkeyPatch, answer: str, hint: str
) -> None:
    def refuse(_address: str) -> None:
        raise psycopg2.OperationalError(f'connection to server at "a", port 1 failed: {answer}\n')

    monkeypatch.setattr(psycopg2, "connect", refuse)
    own = script.Database.read(Environment({}), root)
    with pytest.raises(psycopg2.OperationalError):
        own.ask("")
    database = script.Database.read(Environment({"KOJI_DATABASE_URL": URL}), root)
    with pytest.raises(
        Fatal, match=r"^the database builds at db\.example\.com:5433 cannot"
    ) as refusal:
        database.ask("")
    assert " ".join(answer.split()) in str(refusal.value)
    assert hint in str(refusal.value.hint)


def test_an_unknown_host_may_become_known(
    script: ModuleType, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_address: str) -> None:
        raise psycopg2.OperationalError('could not translate host name "db.example.com" to address')

    monkeypatch.setattr(psycopg2, "connect", refuse)
    database = script.Database.read(Environment({"KOJI_DATABASE_URL": URL}), root)
    with pytest.raises(psycopg2.OperationalError, match="could not translate"):
        database.ask("")
