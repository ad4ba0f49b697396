"""koji-builder's plugin end_when_refused, with the library that kojid has."""

from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import requests


class Expired(Exception):
    """At which kojid ends."""


@pytest.fixture
def call(load_script: Callable[[str], ModuleType]) -> Callable[..., Any]:
    """A call of a session with the plugin, which fails with an error or returns a value."""

    class Session:
        def _callMethod(self, name: str, outcome: object) -> object:
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

    koji: Any = SimpleNamespace(ClientSession=Session, AuthExpired=Expired)
    load_script("koji-builder/end_when_refused.py").install(koji)
    return lambda outcome: Session()._callMethod("getHost", outcome)


@pytest.mark.parametrize("why", ["revoked", "expired"])
def test_kojid_ends(call: Callable[..., Any], why: str) -> None:
    text = f"(1, '[SSL: SSLV3_ALERT_CERTIFICATE] ssl/tls alert certificate {why} (_ssl.c:2650)')"
    with pytest.raises(Expired, match=f"the certificate of this builder is {why}"):
        call(requests.exceptions.SSLError(text))


@pytest.mark.parametrize(
    "error",
    [
        requests.exceptions.SSLError("EOF occurred in violation of protocol"),
        requests.exceptions.SSLError("certificate verify failed: certificate has expired"),
        requests.exceptions.ConnectionError("alert certificate revoked"),
    ],
)
def test_kojid_tries_again_after_other_errors(call: Callable[..., Any], error: Exception) -> None:
    with pytest.raises(type(error), match=str(error)):
        call(error)
    assert call(1) == 1
