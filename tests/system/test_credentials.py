"""Certificates that are listed, renewed and revoked while a Koji runs."""

import hashlib
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import koji
import pytest
import requests
from cryptography import x509

from nagoya.engine import connect, containers, transfer
from tests.image.tracked import wait_until
from tests.system.conftest import Koji

PARTS = ["kojidatabase", "kojihub", "kojira", "kojiweb"]

# Changes the volume as it would be some time later.
LATER = """
import sys
sys.path.insert(0, "/usr/lib/nagoya")
from datetime import timedelta
from pathlib import Path
import entrypoint
from util import certificates
certificates.CERTIFICATE_LIFE = timedelta(hours=float(sys.argv[1]))
for name in sys.argv[2:]:
    certificates.Authority.load(Path("/etc/pki/koji")).renew(name)
entrypoint.copy_for_database(Path("/"))
"""
EXPIRED, SOON = "0.5", "480"


@pytest.fixture(scope="module")
def live(start: Callable[..., Koji]) -> Koji:
    """A Koji whose certificates the tests change; each leaves it ready."""
    return start("credentials")


def listed(site: Koji) -> dict[str, dict[str, Any]]:
    answer = json.loads(site.toji("credentials", "list", "--json").stdout)
    return {each["name"]: each for each in answer["certificates"]}


def make_short(site: Koji, life: str, *names: str) -> None:
    """Give names certificates of so many hours, an hour of which is over."""
    handle = containers.get(connect(), f"{site.system}-kojicreds")
    image = str(handle.docker.attrs["Image"])
    volumes = ["--network=none", f"--volumes-from={handle.name}"]
    site.run("docker", "run", "--rm", *volumes, image, "python3", "-c", LATER, life, *names)


def pem(site: Koji, user: str = "kojiadmin") -> Path:
    return Path(site.description["certificate"]).with_name(f"{user}.pem")


def add(site: Koji, user: str) -> Path:
    """A user, and a copy of the user's file, which stays after a revocation."""
    site.toji("user", user)
    copy = site.home / f"{user}-{hashlib.sha256(pem(site, user).read_bytes()).hexdigest()}.pem"
    copy.write_bytes(pem(site, user).read_bytes())
    return copy


def served(site: Koji) -> str:
    """The serial number of the hub's certificate."""
    port = site.status()["koji"]["ports"]["443"]
    text = ssl.get_server_certificate(("127.0.0.1", port))
    return f"{x509.load_pem_x509_certificate(text.encode()).serial_number:x}"


def is_refused(site: Koji, certificate: Path) -> bool:
    try:
        site.session(certificate=certificate)
    except koji.AuthError as error:
        return "SSLError" in str(error)
    return False


def user_of_session(site: Koji, session: koji.ClientSession) -> str:
    """Whom the hub takes somebody for who knows a session's key, and shows no certificate."""
    answer = site.description
    options = {"serverca": answer["ca"], "max_retries": 1}
    stolen = koji.ClientSession(answer["urls"]["hub"], options, sinfo=session.sinfo)
    stolen.callnum = session.callnum + 1
    try:
        user = stolen.getLoggedInUser()
    # The client then tries to log in again, without knowing how.
    except (koji.AuthError, TypeError):
        return ""
    return str(user["name"]) if user else ""


def browser(site: Koji, certificate: Path | None) -> requests.Session:
    session = requests.Session()
    session.trust_env = False  # REQUESTS_CA_BUNDLE would replace `verify`
    session.verify = site.description["ca"]
    session.cert = str(certificate) if certificate else None
    return session


def user_of(site: Koji, web: requests.Session) -> str:
    """Whom kojiweb takes a browser for; empty without a login."""
    page = web.get(f"{site.description['urls']['web']}/", timeout=30)
    assert page.status_code == 200
    _, link, rest = page.text.partition("userinfo?userID=")
    return rest.partition(">")[2].partition("<")[0] if link and "logout" in page.text else ""


def test_lists_parts_builders_and_users(live: Koji) -> None:
    live.toji("user", "carol")
    certificates = listed(live)
    kinds = {"kojiadmin": "user", "carol": "user", "kojibuilder": "builder"}
    assert {name: each["kind"] for name, each in certificates.items()} == {
        **kinds, **dict.fromkeys(PARTS, "part"),
    }  # fmt: skip
    assert {(each["state"], each["days"]) for each in certificates.values()} == {("valid", 824)}
    assert certificates["kojihub"]["serial"] == served(live)
    assert "kojibuilder" in live.toji("credentials", "list").stdout


def test_warns_of_what_expires_soon_or_has_expired(live: Koji) -> None:
    for user in ("alice", "bob"):
        live.toji("user", user)
    assert json.loads(live.toji("status", "--json").stdout)["warnings"] == []
    assert live.toji("wait", "-q").stderr == ""
    make_short(live, SOON, "alice", "kojihub")
    make_short(live, EXPIRED, "bob")
    for output in (live.toji("status").stdout, live.toji("wait", "-q").stderr):
        lines = [line for line in output.splitlines() if "certificates" in line]
        assert ["bob (" in lines[0], "alice (" in lines[1], "kojihub (" in lines[1]] == [True] * 3
        assert all("`toji credentials renew`" in line for line in lines)
    assert live.toji("credentials", "renew").stdout == "renewed: kojihub, alice, bob\n"
    assert live.toji("wait", "-q").stderr == ""
    assert {each["state"] for each in listed(live).values()} == {"valid"}
    assert live.session(certificate=pem(live, "bob")).getLoggedInUser()["name"] == "bob"


def test_an_expired_file_is_not_handed_out(live: Koji) -> None:
    live.toji("user", "dora")
    make_short(live, EXPIRED, "dora")
    handle = containers.get(connect(), f"{live.system}-kojicreds")
    pem(live, "dora").write_bytes(transfer.read_file(handle, "/etc/pki/koji/dora.pem"))
    live.toji("user", "dora")
    assert live.session(certificate=pem(live, "dora")).getLoggedInUser()["name"] == "dora"


@contextmanager
def callers(site: Koji) -> Iterator[list[str]]:
    """Call the hub all the time, logged in and not; what failed."""
    failed: list[str] = []
    over = threading.Event()

    def call(session: koji.ClientSession) -> None:
        while not over.is_set():
            try:
                session.echo("x")
            except Exception as error:
                failed.append(repr(error))

    sessions = [site.session(login=login) for login in (True, False)]
    for session in sessions:
        session.opts |= {"max_retries": 5, "retry_interval": 1, "anon_retry": True}
    threads = [threading.Thread(target=call, args=[session]) for session in sessions]
    for thread in threads:
        thread.start()
    try:
        yield failed
    finally:
        over.set()
        for thread in threads:
            thread.join()


def test_a_renewal_interrupts_nobody(live: Koji) -> None:
    before, key = listed(live), pem(live).read_text().partition("-----BEGIN CERT")[0]
    web = browser(live, pem(live))
    web.get(f"{live.description['urls']['web']}/login", timeout=30)
    started = {name: each["created"] for name, each in live.status().items()}
    with callers(live) as failed:
        live.toji("credentials", "renew", "--all")
        assert served(live) == listed(live)["kojihub"]["serial"]
    assert failed == []
    after = listed(live)
    changed = {name for name, each in after.items() if each["serial"] != before[name]["serial"]}
    assert changed == set(after) - {"kojibuilder"}
    assert pem(live).read_text().partition("-----BEGIN CERT")[0] == key
    assert user_of(live, web) == "kojiadmin"
    assert {name: each["created"] for name, each in live.status().items()} == started
    live.toji("wait", "--timeout", "30")
    live.client("hello")


def test_a_revoked_user_is_out_at_once(live: Koji) -> None:
    files = {user: add(live, user) for user in ("eve", "frank")}
    sessions = {user: live.session(certificate=file) for user, file in files.items()}
    webs = {user: browser(live, file) for user, file in files.items()}
    live.toji("credentials", "renew", "eve")  # the former certificate is valid still
    for user, web in webs.items():
        web.get(f"{live.description['urls']['web']}/login", timeout=30)
        assert user_of(live, web) == user
    live.toji("credentials", "revoke", "eve")
    assert [user_of_session(live, session) for session in sessions.values()] == ["", "frank"]
    assert is_refused(live, files["eve"])
    for web in (webs["eve"], browser(live, files["eve"])):
        with pytest.raises(requests.exceptions.SSLError):
            web.get(f"{live.description['urls']['web']}/login", timeout=30)
    webs["eve"].cert = None
    assert user_of(live, webs["eve"]) == ""
    assert live.session(certificate=files["frank"]).getLoggedInUser()["name"] == "frank"
    assert not pem(live, "eve").exists()
    assert listed(live)["eve"]["state"] == "revoked"
    assert live.toji("credentials", "revoke", "eve").stdout == "revoked: eve\n"


def test_a_revoked_user_gets_another_certificate(live: Koji) -> None:
    old = add(live, "gina")
    live.toji("credentials", "revoke", "gina")
    assert live.toji("credentials", "issue", "gina").stdout == "issued: gina\n"
    assert live.session(certificate=pem(live, "gina")).getLoggedInUser()["name"] == "gina"
    assert is_refused(live, old)
    assert listed(live)["gina"]["state"] == "valid"


def test_a_revocation_outlives_a_restart(live: Koji) -> None:
    old = add(live, "hugo")
    session = live.session(certificate=old)
    live.toji("stop")
    live.toji("credentials", "revoke", "hugo")
    live.toji("start")
    live.toji("wait")
    assert is_refused(live, old)
    assert user_of_session(live, session) == ""


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(["kojiweb"], marks=pytest.mark.slow),
        pytest.param(["kojiadmin"], marks=pytest.mark.slow),
        [*PARTS, "kojiadmin"],
    ],
)
def test_kojis_own_parts_get_another_key(live: Koji, names: list[str]) -> None:
    handle = containers.get(connect(), f"{live.system}-kojicreds")
    old = {}
    for name in names:
        old[name] = live.home / f"{name}.pem"
        old[name].write_bytes(transfer.read_file(handle, f"/etc/pki/koji/{name}.pem"))
    before = listed(live)
    live.toji("credentials", "revoke", *names)
    after = listed(live)
    assert {name for name in before if before[name]["serial"] != after[name]["serial"]} == set(
        names
    )
    assert {each["state"] for name, each in after.items() if name in names} == {"valid"}
    for name, file in old.items():
        if name != "kojidatabase":  # is no client
            assert is_refused(live, file)
    assert live.session().getLoggedInUser()["name"] == "kojiadmin"
    web = browser(live, pem(live))
    web.get(f"{live.description['urls']['web']}/login", timeout=30)
    assert user_of(live, web) == "kojiadmin"
    live.toji("wait", "--timeout", "60")
    live.toji("restart")
    live.toji("wait")
    live.client("hello")


def test_a_revoked_builder_names_the_reason_and_gets_another_key(live: Koji) -> None:
    live.toji("credentials", "revoke", "kojibuilder")
    waited = live.toji("wait", "--timeout", "120", check=False)
    assert waited.status == 8
    message = "the hub did not let kojibuilder join: the certificate of kojibuilder was revoked"
    assert message in waited.stderr
    assert "toji up --recreate" in waited.stderr
    live.toji("up", "--recreate", "kojibuilder")
    live.toji("wait")
    assert listed(live)["kojibuilder"]["state"] == "valid"


def test_another_authority_takes_over(live: Koji, tmp_path: Path) -> None:
    former, ca = tmp_path / "former.pem", tmp_path / "former.crt"
    former.write_bytes(pem(live).read_bytes())
    ca.write_bytes(Path(live.description["ca"]).read_bytes())

    live.toji("credentials", "rotate")
    # A client that knows only the former authority, and one that knows both.
    assert live.session(certificate=former, ca=ca).getLoggedInUser()["name"] == "kojiadmin"
    assert live.session().getLoggedInUser()["name"] == "kojiadmin"
    assert issuer(pem(live).read_bytes()) != issuer(former.read_bytes())
    builder = containers.get(connect(), f"{live.system}-kojibuilder")
    own = transfer.read_file(builder, "/etc/pki/koji/kojibuilder.pem")
    assert issuer(own) == issuer(pem(live).read_bytes())
    again = live.toji("credentials", "rotate")
    assert "the former authority is not retired yet" in again.stdout
    live.toji("wait")

    live.toji("credentials", "rotate", "--retire")
    assert live.session().getLoggedInUser()["name"] == "kojiadmin"
    with pytest.raises((koji.GenericError, requests.RequestException)):
        live.session(certificate=former)
    with pytest.raises(requests.exceptions.SSLError):
        live.session(login=False, ca=ca).getAPIVersion()
    for name in ("kojibuilder", "kojidatabase", "koji"):
        live.toji("restart", name)
    live.toji("wait")
    (row,) = (row for row in listed(live).values() if row["kind"] == "builder")
    assert row["state"] == "valid"


def issuer(pem: bytes) -> x509.Name:
    return x509.load_pem_x509_certificate(pem).issuer


@pytest.mark.parametrize("name", ["kojihub", "kojidatabase"])
def test_a_server_says_that_its_certificate_has_expired(live: Koji, name: str) -> None:
    make_short(live, EXPIRED, name)
    container = "koji" if name == "kojihub" else name
    live.toji("restart", container, check=False)
    waited = live.toji("wait", "--timeout", "60", check=False)
    assert waited.status == 8
    assert f"expired certificates: {name} (" in waited.stderr
    assert "`toji credentials renew`" in waited.stderr
    assert "Traceback" not in waited.stderr
    live.toji("credentials", "renew")
    live.toji("wait")


def test_kojira_says_that_its_certificate_has_expired(live: Koji) -> None:
    make_short(live, EXPIRED, "kojira")
    live.toji("restart", "koji")
    line = "koji-hub: kojira: expired certificates: kojira ("
    wait_until(lambda: line in live.toji("logs", "koji").stdout, 60, "kojira says so")
    assert "`toji credentials renew`" in live.toji("logs", "koji").stdout
    live.toji("credentials", "renew")
    session = live.session()
    session.createTag("after-kojira", arches="x86_64", extra={"repo.auto": True})
    session.createBuildTarget("after-kojira", "after-kojira", "after-kojira")
    wait_until(lambda: session.getRepo("after-kojira"), 120, "kojira has a repository made")
    live.toji("wait")


def test_an_expired_certificate_of_kojiadmin_is_reported(live: Koji) -> None:
    good = pem(live).read_bytes()
    make_short(live, EXPIRED, "kojiadmin")
    handle = containers.get(connect(), f"{live.system}-kojicreds")
    pem(live).write_bytes(transfer.read_file(handle, "/etc/pki/koji/kojiadmin.pem"))
    ended = live.toji("user", "ida", check=False)
    assert "the certificate of kojiadmin has expired" in ended.stderr
    assert "credentials renew" in ended.stderr
    live.run("docker", "restart", f"{live.system}-kojibuilder")
    line = "expired certificates: kojiadmin ("
    wait_until(lambda: line in live.toji("logs", "kojibuilder").stdout, 60, "the builder says so")
    live.toji("credentials", "renew")
    assert pem(live).read_bytes() != good
    live.toji("wait")
    live.toji("user", "ida")
