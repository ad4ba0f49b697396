"""util.exchange: requests that are signed, and files that others have written."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from util import certificates, exchange

KEY = certificates.make_key()


def changed(**fields: object) -> bytes:
    return json.dumps({**json.loads(exchange.make(KEY, "b1", "join")), **fields}).encode()


def test_a_request_names_its_key_and_what_is_wanted() -> None:
    body, key = exchange.verify(exchange.make(KEY, "b1", "join", builder={"arches": None}))
    assert (body["name"], body["verb"], body["builder"]) == ("b1", "join", {"arches": None})
    assert key == KEY.public_key()


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: changed(body='{"name": "b2"}'), "its signature is wrong"),
        (lambda: changed(signature=""), "its signature is wrong"),
        (
            lambda: changed(key=exchange.public_pem(certificates.make_key().public_key())),
            "its signature",
        ),
        (lambda: changed(key=1), "it is incomplete"),
        (lambda: changed(key="x"), "PEM"),
        (lambda: b"[]", "it is incomplete"),
        (lambda: b"\xff", "decode"),
        (lambda: exchange.make(KEY, "b1", "join", time=0.0), "it is too old"),
        (lambda: exchange.make(KEY, "b1", "join", time=float("nan")), "it is too old"),
        (lambda: exchange.make(KEY, "b1", "join", time="x"), "it is incomplete"),
        (lambda: exchange.make(KEY, "b1", "join", time=10**400), "it is incomplete"),
        (lambda: b"[" * 60_000, "it is incomplete"),
        (
            lambda: exchange.make(ec.generate_private_key(ec.SECP384R1()), "b1", "join"),
            "of the kind",
        ),
    ],
)
def test_what_is_no_valid_request_is_refused(make: Callable[[], bytes], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        exchange.verify(make())


def test_only_small_regular_files_are_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    assert exchange.read(tmp_path / "file") == b"x"
    (tmp_path / "link").symlink_to(tmp_path / "file")
    (tmp_path / "large").write_bytes(bytes(1 << 17))
    os.mkfifo(tmp_path / "pipe")
    wrong: dict[str, Any] = {"link": OSError, "large": ValueError, "pipe": ValueError}
    for name, error in wrong.items():
        with pytest.raises(error):
            exchange.read(tmp_path / name)
