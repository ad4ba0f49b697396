"""By which address a builder elsewhere calls the hub."""

import re

import pytest

from nagoya.errors import LifecycleError, UsageError
from nagoya.koji.bundles import published_url, url_of

SITE = "https://koji.example.com:8443/kojihub"


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "192.0.2.7"])
def test_the_profiles_url_where_the_port_is_published(address: str) -> None:
    assert published_url(SITE, address) == SITE


@pytest.mark.parametrize(
    ("url", "address", "message"),
    [
        (SITE, "127.0.0.1", "published on 127.0.0.1 alone"),
        (SITE, "::1", "published on ::1 alone"),
        ("https://127.0.0.1:443/kojihub", "0.0.0.0", "works only on this machine"),
        ("https://[::1]:443/kojihub", "::", "works only on this machine"),
        ("https://localhost/kojihub", "0.0.0.0", "works only on this machine"),
    ],
)
def test_an_address_that_no_other_machine_reaches(url: str, address: str, message: str) -> None:
    with pytest.raises(LifecycleError, match=message) as refusal:
        published_url(url, address)
    assert "docs/lan.md" in str(refusal.value.hint)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://hub.example.com", "https://hub.example.com/kojihub"),
        ("https://hub.example.com:8443/", "https://hub.example.com:8443/kojihub"),
        ("https://192.0.2.7/kojihub", "https://192.0.2.7/kojihub"),
        ("https://[2001:db8::7]:443", "https://[2001:db8::7]:443/kojihub"),
    ],
)
def test_a_url_of_the_users(text: str, url: str) -> None:
    assert url_of(text) == url


@pytest.mark.parametrize(
    "text",
    ["hub.example.com", "http://hub.example.com", "https://", "https://a:x", "https://a/koji",
     "https://127.0.0.1:443", "https://localhost", "https://[::1]", "https://0.0.0.0",
     "https://127.1", "https://0", "https://[::]", "https://localhost.", "https://LOCALHOST",
     "https://koji.localhost"],
)  # fmt: skip
def test_no_url_of_a_hub(text: str) -> None:
    with pytest.raises(UsageError, match=re.escape(text)):
        url_of(text)


def test_a_url_with_a_password_is_not_repeated() -> None:
    with pytest.raises(UsageError) as refusal:
        url_of("https://alice:secret@koji.example.com")
    assert "secret" not in str(refusal.value)
