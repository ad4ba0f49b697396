"""koji-hub's registrar on a temporary root; what it decides is in the tests of the images."""

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from util import certificates, exchange

pytest.importorskip("koji")

KEY = certificates.make_key()


@pytest.fixture
def registrar(
    load_script: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Any:
    """A registrar that says yes to all."""
    credentials = tmp_path / "etc/pki/koji"
    credentials.mkdir(parents=True)
    certificates.Authority.create(credentials)
    registrar = load_script("koji-hub/registrar.py").Registrar(tmp_path)
    monkeypatch.setattr(registrar, "carry_out", lambda body, key: {"said": body["verb"]})
    registrar.prepare()
    return registrar


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
    "request_",
    [
        exchange.make(KEY, "b2", "join"),
        exchange.make(KEY, "b1", "join", time=10**400),
        b"[" * 60_000,
        b"",
    ],
)
def test_nothing_that_a_builder_writes_ends_it(registrar: Any, request_: bytes) -> None:
    (registrar.folder / "b1.request").write_bytes(request_)
    registrar.answer_all()
    assert not list(registrar.folder.glob("b*.re*"))


def test_a_name_that_leads_elsewhere_is_ignored(registrar: Any) -> None:
    name = "..request"
    (registrar.folder / f"{name}.request").write_bytes(exchange.make(KEY, name, "join"))
    registrar.answer_all()
    assert not list(registrar.folder.glob("*.reply"))
