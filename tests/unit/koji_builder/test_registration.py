"""koji-builder's registration, with a registrar whose answers each test chooses."""

import json
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from util import certificates, exchange
from util.entry import Fatal
from util.processes import Process

KOJID = "/usr/bin/python3 /usr/sbin/kojid --fg"


@pytest.fixture
def registration(load_script: Callable[[str], ModuleType]) -> ModuleType:
    return load_script("koji-builder/registration.py")


@pytest.fixture
def builder(registration: ModuleType, tmp_path: Path) -> Any:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/koji-builder.json").write_text('{"name": "b1"}')
    for folder in (exchange.FOLDER, "etc/ssl/certs", "usr/local/share/ca-certificates"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "etc/ssl/certs/ca-certificates.crt").touch()
    authority = tmp_path / "authority"
    authority.mkdir()
    certificates.Authority.create(authority)
    builder = registration.Builder(tmp_path)
    builder.shared = tmp_path / exchange.FOLDER
    builder.folder.mkdir(parents=True)
    (builder.folder / exchange.AUTHORITY).write_bytes((authority / exchange.AUTHORITY).read_bytes())
    return builder


@pytest.fixture
def registrar(builder: Any, tmp_path: Path) -> Callable[[dict[str, object]], None]:
    """Answer the next request with these details, and with a certificate."""

    def answer(details: dict[str, object]) -> None:
        path = builder.shared / "b1.request"
        while not path.exists():
            time.sleep(0.01)
        body, key = exchange.verify(path.read_bytes())
        path.unlink()
        issued = certificates.Authority.load(tmp_path / "authority").sign("b1", key, client=True)
        pem = certificates.pem(issued).decode()
        trusted = (tmp_path / "authority" / exchange.AUTHORITY).read_text()
        reply = exchange.reply(body, **{"certificate": pem, "authority": trusted, **details})
        (builder.shared / "b1.reply").write_bytes(reply)

    def start(details: dict[str, object]) -> None:
        threading.Thread(target=answer, args=(details,), daemon=True).start()

    return start


def test_stores_its_certificate_beside_the_key_that_it_keeps(
    builder: Any, registrar: Callable[[dict[str, object]], None]
) -> None:
    keys = set()
    for _ in range(2):
        registrar({"said": "registered"})
        assert builder.join() == "registered"
        certificates.check(builder.folder, "b1")
        keys.add((builder.folder / "private/b1.key").read_text())
    assert len(keys) == 1
    assert (builder.folder / "private/b1.key").stat().st_mode & 0o777 == 0o600


def test_shows_its_certificate_with_each_later_request(
    builder: Any, registrar: Callable[[dict[str, object]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[object] = []
    make = exchange.make

    def record(*arguments: Any, **details: object) -> bytes:
        shown.append(details.get("certificate"))
        return make(*arguments, **details)

    monkeypatch.setattr(exchange, "make", record)
    registrar({"said": "registered"})
    builder.join()
    issued = (builder.folder / "certs/b1.crt").read_text()
    registrar({"said": "disabled"})
    builder.ask("leave")
    assert shown == [None, issued]


def test_a_certificate_of_another_key_is_not_used(
    builder: Any, registrar: Callable[[dict[str, object]], None], tmp_path: Path
) -> None:
    certificates.Authority.load(tmp_path / "authority").issue("b1", client=True)
    registrar({"said": "", "certificate": (tmp_path / "authority/certs/b1.crt").read_text()})
    with pytest.raises(Fatal, match="the certificate of b1 in "):
        builder.join()


def test_a_certificate_that_ends_soon_is_renewed(
    builder: Any,
    registrar: Callable[[dict[str, object]], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    registrar({"said": ""})
    builder.join()
    key = builder.folder / "private/b1.key"
    authority = certificates.Authority.load(tmp_path / "authority")
    before = key.read_bytes()
    monkeypatch.setattr(certificates, "CERTIFICATE_LIFE", timedelta(days=20))
    public = certificates.load(builder.folder / "b1.pem").public_key()
    short = authority.sign("b1", public, client=True)
    monkeypatch.undo()
    (builder.folder / "certs/b1.crt").write_bytes(certificates.pem(short))
    registrar({})
    builder.renew()
    assert key.read_bytes() == before
    assert not certificates.is_due(certificates.load(builder.folder / "b1.pem"))
    certificates.check(builder.folder, "b1")


def test_another_authority_is_trusted_after_a_renewal(
    builder: Any, registrar: Callable[[dict[str, object]], None], tmp_path: Path
) -> None:
    registrar({"said": ""})
    builder.join()
    second = certificates.Authority.load(tmp_path / "authority").rotate()
    registrar({})
    builder.renew()
    certificates.check(builder.folder, "b1")
    renewed = certificates.load(builder.folder / "b1.pem")
    assert renewed.issuer == second.certificate.subject
    system = certificates.load_all(tmp_path / "etc/ssl/certs/ca-certificates.crt")
    assert system == [each.certificate for each in second.trusted]


def test_no_is_no(
    registration: ModuleType, builder: Any, registrar: Callable[[dict[str, object]], None]
) -> None:
    registrar({"refused": "at work"})
    with pytest.raises(registration.Refused, match="at work"):
        builder.join()


def test_an_answer_to_somebody_else_is_none(
    registration: ModuleType, builder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registration, "PATIENCE", 0.3)
    (builder.shared / "b1.reply").write_text(json.dumps({"id": "x", "said": "yes"}))
    with pytest.raises(Fatal, match="gave up waiting for the hub's registrar") as refusal:
        builder.join()
    assert "/etc/pki/koji-builders" in str(refusal.value.hint)


def test_without_a_key_it_can_only_join(builder: Any) -> None:
    with pytest.raises(Fatal, match="this builder has no key"):
        builder.ask("leave")


def test_drains_until_the_last_task_has_ended(
    builder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = [[11, 12], [12], []]
    monkeypatch.setattr(builder, "ask", lambda verb: {"tasks": tasks.pop(0)})
    assert builder.drain(30) == "b1 has finished its tasks"
    assert tasks == []


def test_drains_no_longer_than_it_may(builder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builder, "ask", lambda verb: {"tasks": [11, 12]})
    with pytest.raises(Fatal, match="after 0 s: it is working on 11, 12") as refusal:
        builder.drain(0)
    assert "frees its tasks" in str(refusal.value.hint)


@pytest.mark.parametrize("error", ["Fatal", "NotYet"])
def test_drains_while_the_hub_is_away_until_its_work_is_done(
    registration: ModuleType, builder: Any, monkeypatch: pytest.MonkeyPatch, error: str
) -> None:
    """Kubernetes replaces the hub and a builder at once where both are on a node that it drains."""
    children = [[Process(7, 1, 7, KOJID), Process(9, 7, 7, KOJID)], [Process(7, 1, 7, KOJID)]]
    monkeypatch.setattr(registration.processes, "processes", lambda: children.pop(0))

    def ask(verb: str) -> None:
        raise {"Fatal": Fatal, "NotYet": registration.NotYet}[error]("the hub is away")

    monkeypatch.setattr(builder, "ask", ask)
    with pytest.raises((Fatal, registration.NotYet), match=r"^the hub is away"):
        builder.drain(30)
    assert children == []


def test_drains_no_longer_than_it_may_while_the_hub_is_away(
    registration: ModuleType, builder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = [Process(7, 1, 7, KOJID), Process(9, 7, 7, KOJID)]
    monkeypatch.setattr(registration.processes, "processes", lambda: running)

    def ask(verb: str) -> None:
        raise Fatal("the hub is away")

    monkeypatch.setattr(builder, "ask", ask)
    with pytest.raises(Fatal, match="after 0 s: it is working, and the hub is away"):
        builder.drain(0)
