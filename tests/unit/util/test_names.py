"""The names of servers."""

import ipaddress

import pytest

from util.names import Names


def test_names_and_addresses() -> None:
    wrong: list[str] = []
    words = ["koji", "koji.example.org", "192.0.2.7", "2001:db8::7"]
    names = Names.parse(words, wrong.append) + Names(("other",))
    assert names.dns == ("koji", "koji.example.org", "other")
    assert names.ips == tuple(map(ipaddress.ip_address, words[2:]))
    assert wrong == []


@pytest.mark.parametrize("word", ["-a", "a/b", "a..b", "*.example.org", "1.2.3", "::x", "ü.de", ""])
def test_what_is_neither(word: str) -> None:
    wrong: list[str] = []
    Names.parse(["good.example.org", word], wrong.append)
    assert wrong == [f"{word!r} is neither a DNS name nor an IP address"]
