"""koji-hub's registrar on a temporary root; what it decides is in the tests of the images."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import requests
from cryptography import x509

from util import certificates, exchange

koji = pytest.importorskip("koji")

KEY = certificates.make_key()
RENEW = {"name": "b1", "verb": "renew"}


@pytest.fixture
def registrar(
    load_script: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Any:
    """A registrar that says yes to all."""
    credentials = tmp_path / "etc/pki/koji"
    credentials.mkdir(parents=True)
    certificates.Authority.create(credentials)
    registrar = load_script("koji-hub/registrar.py").Registrar(tmp_path)
    monkeypatch.setattr(registrar, "carry_out", lambda body, key, elsewhere: {"said": body["verb"]})
    registrar.prepare()
    return registrar


@pytest.fixture
def certifier(
    load_script: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Any:
    """A registrar whose hub knows no user and no host."""
    credentials = tmp_path / "etc/pki/koji"
    credentials.mkdir(parents=True)
    certificates.Authority.create(credentials).issue("kojiadmin", client=True)
    script = load_script("koji-hub/registrar.py")
    registrar = script.Registrar(tmp_path)
    hub = SimpleNamespace(getUser=lambda name: None, getHost=lambda name: None)
    hub.logout = lambda: None
    monkeypatch.setattr(registrar, "login", lambda: hub)
    monkeypatch.setattr(script.registration, "join", lambda session, builder: "joined")
    registrar.prepare()
    registrar.Refused = script.Refused
    return registrar


def join(registrar: Any, key: Any = KEY, verb: str = "join") -> x509.Certificate:
    body = {"name": "b1", "verb": verb, "builder": {}}
    answer = registrar.carry_out(body, key.public_key())
    return x509.load_pem_x509_certificate(answer["certificate"].encode())


def test_a_builder_keeps_its_certificate_until_it_is_due(
    certifier: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(certifier.Refused, match="another key"):
        join(certifier, verb="renew")
    with monkeypatch.context() as patch:
        patch.setattr(certificates, "CERTIFICATE_LIFE", timedelta(days=20))
        short = join(certifier)
    long = join(certifier, verb="renew")
    assert long != short
    assert long == join(certifier) == join(certifier, verb="renew")
    other = join(certifier, certificates.make_key())
    assert certificates.load_all(certifier.issued / "b1.crt") == [short, long, other]


def test_a_key_whose_certificate_was_revoked_gets_no_other(certifier: Any) -> None:
    revoked = join(certifier)
    certificates.Authority.load(certifier.credentials).revoke("b1", [revoked])
    for verb in ("join", "renew", "disable"):
        with pytest.raises(certifier.Refused, match="the certificate of b1 was revoked"):
            join(certifier, verb=verb)
    assert join(certifier, certificates.make_key()) != revoked


def test_an_expired_certificate_of_kojiadmin_is_told(
    certifier: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certificates, "CERTIFICATE_LIFE", timedelta(minutes=30))
    certificates.Authority.load(certifier.credentials).renew("kojiadmin")
    with pytest.raises(certifier.Refused, match=r"expired certificates: kojiadmin .*renew") as no:
        join(certifier)
    assert no.value.later


def test_records_of_another_authority_are_dropped(certifier: Any) -> None:
    """As in an image that was made of a hub."""
    join(certifier)
    certifier.prepare()
    assert (certifier.issued / "b1.crt").exists()
    for path in [*certifier.credentials.rglob("koji_ca*"), certifier.credentials / "certs"]:
        path.rename(path.with_name(f"old-{path.name}"))
    (certifier.credentials / "private").rename(certifier.credentials / "old-private")
    certificates.Authority.create(certifier.credentials)
    certifier.prepare()
    assert not (certifier.issued / "b1.crt").exists()


def test_tells_builders_which_authority_to_trust(registrar: Any) -> None:
    shared = registrar.folder / "koji_ca_cert.crt"
    assert shared.read_bytes() == (registrar.credentials / "koji_ca_cert.crt").read_bytes()
    assert [path.name for path in registrar.folder.iterdir()] == [shared.name]


def test_answers_each_request_once_and_no_copy_of_it(registrar: Any) -> None:
    path = registrar.folder / "b1.request"
    request = exchange.make(KEY, "b1", "join")
    path.write_bytes(request)
    registrar.answer_all()
    reply = registrar.folder / "b1.reply"
    number = json.loads(json.loads(request)["body"])["id"]
    assert json.loads(reply.read_text()) == {"id": number, "said": "join"}
    assert not path.exists()
    reply.unlink()
    path.write_bytes(request)
    registrar.answer_all()
    assert not reply.exists()


@pytest.mark.parametrize(
    ("error", "later"),
    [
        (koji.AuthError("unable to obtain a session (ServerOffline: database outage)"), True),
        (koji.ServerOffline("database outage"), True),
        (requests.exceptions.ConnectionError("refused"), True),
        (koji.GenericError("no such host"), None),
    ],
)
def test_a_builder_asks_again_while_the_hub_is_away(
    registrar: Any, monkeypatch: pytest.MonkeyPatch, error: Exception, later: bool | None
) -> None:
    def fail(*_arguments: Any, **_options: Any) -> None:
        raise error

    monkeypatch.setattr(registrar, "carry_out", fail)
    (registrar.folder / "b1.request").write_bytes(exchange.make(KEY, "b1", "disable"))
    registrar.answer_all()
    answer = json.loads((registrar.folder / "b1.reply").read_text())
    assert str(error) in answer["refused"]
    assert answer.get("later") == later


@pytest.mark.parametrize(
    "make",
    [
        lambda: exchange.make(KEY, "b2", "join"),
        lambda: exchange.make(KEY, "b1", "join", time=10**400),
        lambda: b"[" * 60_000,
        lambda: b"",
    ],
)
def test_nothing_that_a_builder_writes_ends_it(registrar: Any, make: Callable[[], bytes]) -> None:
    (registrar.folder / "b1.request").write_bytes(make())
    registrar.answer_all()
    assert not list(registrar.folder.glob("b*.re*"))


def test_a_folder_in_the_place_of_a_request_stops_no_other(registrar: Any) -> None:
    for name in (".taken", "a.request"):
        (registrar.folder / name / "x").mkdir(parents=True)
    (registrar.folder / "b1.request").write_bytes(exchange.make(KEY, "b1", "join"))
    registrar.answer_all()
    assert (registrar.folder / "b1.reply").exists()


def test_a_name_that_leads_elsewhere_is_ignored(registrar: Any) -> None:
    name = "..request"
    (registrar.folder / f"{name}.request").write_bytes(exchange.make(KEY, name, "join"))
    registrar.answer_all()
    assert not list(registrar.folder.glob("*.reply"))


def test_a_builder_elsewhere_is_known_by_its_certificate(certifier: Any) -> None:
    """Also where its record is gone, as after a restore."""
    with pytest.raises(certifier.Refused, match="another key"):
        certifier.carry_out(RENEW, KEY.public_key())
    assert certifier.carry_out(RENEW, KEY.public_key(), elsewhere=True)["certificate"]


def test_a_builder_is_known_by_the_certificate_that_it_shows(certifier: Any) -> None:
    """Where the hub's container is another one, as after the drain of its node."""
    shown = certificates.pem(join(certifier)).decode()
    record = certifier.issued / "b1.crt"
    record.unlink()
    other = certificates.Authority.create(_folder(certifier.credentials / "other"))
    forged = other.sign("b1", KEY.public_key(), client=True)
    of_b2 = certificates.Authority.load(certifier.credentials).sign("b2", KEY.public_key())
    for false in (certificates.pem(forged).decode(), certificates.pem(of_b2).decode(), "x"):
        with pytest.raises(certifier.Refused, match="another key"):
            certifier.carry_out({**RENEW, "certificate": false}, KEY.public_key())
    stranger = certificates.make_key().public_key()
    with pytest.raises(certifier.Refused, match="another key"):
        certifier.carry_out({**RENEW, "certificate": shown}, stranger)
    assert not record.exists()
    answer = certifier.carry_out({**RENEW, "certificate": shown}, KEY.public_key())
    assert answer["certificate"] == shown
    with pytest.raises(certifier.Refused, match="another key"):
        certifier.carry_out({**RENEW, "certificate": shown}, stranger)


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def test_a_bundle_is_used_by_one_builder(certifier: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    body = {"name": "b1", "verb": "join", "builder": {}, "first": True}
    monkeypatch.setattr(certifier, "is_at_work", lambda session, name: True)
    with pytest.raises(certifier.Refused, match="another builder named b1 is at work") as refusal:
        certifier.carry_out(body, KEY.public_key(), elsewhere=True)
    assert refusal.value.later
    assert certifier.carry_out(body | {"first": False}, KEY.public_key(), elsewhere=True)


def test_answers_go_where_the_requests_came_from(registrar: Any) -> None:
    registrar.elsewhere.mkdir(parents=True)
    for folder, name in ((registrar.folder, "b1"), (registrar.elsewhere, "b2")):
        (folder / f"{name}.request").write_bytes(exchange.make(KEY, name, "join"))
    registrar.answer_all()
    assert [path.name for path in registrar.folder.glob("*.reply")] == ["b1.reply"]
    assert [path.name for path in registrar.elsewhere.glob("*.re*")] == ["b2.reply"]
