"""The hub's WSGI entry for builders elsewhere."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from util import certificates, exchange

KEY = certificates.make_key()


@pytest.fixture
def ask(
    load_script: Callable[[str], ModuleType], tmp_path: Path
) -> Callable[..., tuple[str, bytes]]:
    script = load_script("koji-hub/builders.py")

    def respond(body: bytes | None = None, **variables: Any) -> tuple[str, bytes]:
        environ = {
            "SSL_CLIENT_VERIFY": "SUCCESS",
            "SSL_CLIENT_S_DN_CN": "far",
            "REQUEST_METHOD": "GET" if body is None else "POST",
            "wsgi.input": io.BytesIO(body or b""),
            **variables,
        }
        status, answer = script.respond(environ, tmp_path)
        return status[:3], answer

    return respond


def test_a_request_is_passed_on_and_its_answer_comes_back(
    ask: Callable[..., tuple[str, bytes]], tmp_path: Path
) -> None:
    request = exchange.make(KEY, "far", "join")
    assert ask(request) == ("202", b"")
    assert (tmp_path / "far.request").read_bytes() == request
    assert ask()[0] == "404"
    (tmp_path / "far.reply").write_text(json.dumps({"id": "1"}))
    assert ask() == ("200", b'{"id": "1"}')


@pytest.mark.parametrize("verified", ["NONE", "GENEROUS", "FAILED:certificate revoked"])
def test_nobody_is_heard_without_a_certificate(
    ask: Callable[..., tuple[str, bytes]], tmp_path: Path, verified: str
) -> None:
    (tmp_path / "far.reply").write_text("secret")
    for body in (None, exchange.make(KEY, "far", "join")):
        assert ask(body, SSL_CLIENT_VERIFY=verified)[0] == "403"
    assert not (tmp_path / "far.request").exists()


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: exchange.make(KEY, "near", "join"), "its name is not that of the certificate"),
        (
            lambda: exchange.make(KEY, "far", "join").replace(b"join", b"drop"),
            "its signature is wrong",
        ),
        (lambda: b"{}", "it is incomplete"),
        (lambda: b"\xff", "decode"),
    ],
    ids=["another's name", "changed", "empty", "not text"],
)
def test_a_request_that_is_not_the_builders_own_is_refused(
    ask: Callable[..., tuple[str, bytes]], tmp_path: Path, make: Callable[[], bytes], why: str
) -> None:
    status, answer = ask(make())
    assert (status, why in answer.decode()) == ("400", True), answer
    assert list(tmp_path.iterdir()) == []


def test_a_hub_without_a_registrar_has_the_builder_ask_again(
    ask: Callable[..., tuple[str, bytes]], tmp_path: Path
) -> None:
    tmp_path.rmdir()
    assert ask(exchange.make(KEY, "far", "join"))[0] == "503"
    assert ask()[0] == "503"


def test_a_clock_that_is_wrong_is_told(
    ask: Callable[..., tuple[str, bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    request = exchange.make(KEY, "far", "join")
    monkeypatch.setattr(exchange, "LIFE", 0)
    assert ask(request) == (
        "400",
        b"the hub cannot use the request: it is too old, or a clock is wrong",
    )
