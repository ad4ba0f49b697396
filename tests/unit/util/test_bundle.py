"""The file that a builder elsewhere gets."""

import json
from pathlib import Path

import pytest

from util import certificates
from util.bundle import Bundle


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    authority, key = certificates.Authority.create(tmp_path), certificates.make_key()
    certificate = authority.sign("far", key.public_key(), client=True)
    own = (tmp_path / "koji_ca_cert.crt").read_text()
    pem = certificates.pem(certificate).decode()
    return Bundle(
        "far", "https://koji.example.com/kojihub", certificates.key_pem(key).decode(), pem, own
    )


def test_what_is_written_is_read(bundle: Bundle) -> None:
    assert Bundle.parse(bundle.text()) == bundle
    assert "\n" not in bundle.text()
    assert "PRIVATE" not in repr(bundle)


def test_it_holds_one_key(bundle: Bundle) -> None:
    assert bundle.text().count("PRIVATE KEY") == 2  # the first and the last line of one
    values = json.loads(bundle.text())
    assert set(values) == {"version", "name", "hub", "key", "certificate", "authority"}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"version": 2}, "version 1"),
        ({"key": None}, "not text"),
        ({"hub": 1}, "not text"),
        ({"key": "x"}, "PEM|key"),
        ({"authority": "x"}, "PEM|certificate"),
        ({"more": "x"}, "incomplete"),
    ],
)
def test_another_file_is_refused(bundle: Bundle, changes: dict[str, object], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Bundle.parse(json.dumps(json.loads(bundle.text()) | changes))


@pytest.mark.parametrize("text", ["", "[]", "null", "-----BEGIN", '{"version": 1}'])
def test_what_is_no_bundle(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Bundle.parse(text)
