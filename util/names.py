"""The names that a server's certificate is valid for: DNS names and IP addresses."""

import ipaddress
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Self

from . import certificates

LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Names:
    """The names of a server, in the two forms that a certificate distinguishes."""

    dns: tuple[str, ...] = ()
    ips: tuple[certificates.Address, ...] = ()

    @classmethod
    def parse(cls, words: Iterable[str], wrong: Callable[[str], None]) -> Self:
        """The names among `words`; `wrong` is called with the reason for each that is none."""
        dns: list[str] = []
        ips: list[certificates.Address] = []
        for word in words:
            try:
                ips.append(ipaddress.ip_address(word))
            except ValueError:
                # A name of digits and dots is a mistyped address.
                if not certificates.is_name(word) or word.replace(".", "").isdigit():
                    wrong(f"{word!r} is neither a DNS name nor an IP address")
                dns.append(word)
        return cls(tuple(dns), tuple(ips))

    def __add__(self, other: "Names") -> "Names":
        return Names(self.dns + other.dns, self.ips + other.ips)
