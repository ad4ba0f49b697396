"""What is said of a hub that does not let us in; the causes are as Koji's client words them."""

import os
import socket
from dataclasses import replace
from pathlib import Path
from urllib.request import proxy_bypass

import koji
import pytest
import requests
from requests.utils import should_bypass_proxies

from nagoya.errors import LifecycleError
from nagoya.koji.hub import HubConnection, bypass_proxies, hub_errors, without_logout
from nagoya.koji.profile import Profile


@pytest.fixture
def hub(tmp_path: Path) -> HubConnection:
    """A hub of which nothing runs: port 1 refuses every connection."""
    return HubConnection(Profile("some", tmp_path, "koji", {"hub": "https://127.0.0.1:1/kojihub"}))


def test_a_hub_that_is_down(hub: HubConnection, tmp_path: Path) -> None:
    for path in (hub.profile.certificate(), hub.profile.ca):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    with pytest.raises(LifecycleError, match="nothing answers at https://127") as raised:
        hub.session()
    hint = str(raised.value.hint)
    assert hint.startswith("`toji --system some status` shows whether the hub runs")
    assert "TESTCONTAINERS_HOST_OVERRIDE" in hint


def test_a_proxy_that_is_in_the_way(hub: HubConnection, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in (hub.profile.certificate(), hub.profile.ca):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    with pytest.raises(LifecycleError, match="a proxy that the environment names") as raised:
        hub.session()
    assert "no_proxy=127.0.0.1" in str(raised.value.hint)


def test_a_certificate_of_another_authority(hub: HubConnection) -> None:
    error = hub._login_error(
        "kojiadmin",
        "unable to obtain a session (ssl auth failed: requests.exceptions.SSLError: "
        "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate)",
    )
    assert "koji_ca_cert.crt did not issue" in error.message
    assert "credentials were replaced" in str(error.hint)


@pytest.mark.parametrize(
    ("cause", "message", "hint"),
    [
        (
            "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: certificate has expired",
            "the certificate of the hub at",
            "credentials renew",
        ),
        (
            "certificate verify failed: certificate is not yet valid (_ssl.c:1006)",
            "the certificate of the hub at",
            "clock is behind",
        ),
        (
            "[SSL: SSLV3_ALERT_CERTIFICATE_EXPIRED] sslv3 alert certificate expired",
            "the certificate of alice has expired",
            "credentials renew",
        ),
        (
            "[SSL: SSLV3_ALERT_CERTIFICATE_REVOKED] ssl/tls alert certificate revoked",
            "the certificate of alice was revoked",
            "credentials issue alice",
        ),
        (
            "[SSL: UNEXPECTED_EOF_WHILE_READING] EOF occurred in violation of protocol",
            "the hub at https://127.0.0.1:1/kojihub closed the connection: it restarts, or",
            "try again",
        ),
    ],
)
def test_a_certificate_that_is_valid_no_more(
    hub: HubConnection, cause: str, message: str, hint: str
) -> None:
    error = hub._login_error("alice", f"(ssl auth failed: requests.exceptions.SSLError: {cause})")
    assert error.message.startswith(message)
    assert hint in str(error.hint)


def test_a_login_that_is_refused(hub: HubConnection) -> None:
    error = hub._login_error("alice", "(ssl auth failed: koji.ServerOffline: database outage\n)")
    assert error.message.endswith("/kojihub does not reach its database")
    error = hub._login_error("alice", "alice is not\n a user")
    assert "rejected the login of alice: alice is not a user" in error.message


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, "127.0.0.1"),
        ({"NO_PROXY": "example.com"}, "example.com,127.0.0.1"),
        ({"NO_PROXY": "unused", "no_proxy": "example.com, 127.0.0.1"}, None),
        ({"no_proxy": "*"}, None),
    ],
)
def test_published_ports_are_not_asked_for_through_a_proxy(
    monkeypatch: pytest.MonkeyPatch, before: dict[str, str], after: str | None
) -> None:
    environment = {"HTTPS_PROXY": "http://proxy:3128", **before}
    monkeypatch.setattr(os, "environ", environment)
    bypass_proxies("127.0.0.1")
    assert proxy_bypass("127.0.0.1")
    assert should_bypass_proxies("https://127.0.0.1:8443/kojihub", None)
    if after is None:
        assert {name: os.environ[name] for name in before} == before
    else:
        assert os.environ["no_proxy"] == os.environ["NO_PROXY"] == after


def test_a_hub_that_does_not_answer(hub: HubConnection) -> None:
    """As one whose database is paused: it accepts the connection, and no more."""
    error = hub._login_error(
        "kojiadmin",
        "unable to obtain a session (ssl auth failed: requests.exceptions.ReadTimeout: "
        "HTTPSConnectionPool(host='127.0.0.1', port=443): Read timed out. (read timeout=15))",
    )
    assert error.message.endswith("/kojihub did not answer within 15 s")
    assert "its database" in str(error.hint)


def test_a_call_that_hangs_ends_where_it_should(hub: HubConnection) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/kojihub"
        session = HubConnection(replace(hub.profile, urls={"hub": url})).session(None, seconds=0.2)
        with (
            pytest.raises(LifecycleError, match=r"the connection to the hub broke: .*timed out"),
            hub_errors(),
        ):
            session.listHosts()


def test_two_programs_create_one_thing() -> None:
    fault = koji.xmlrpcplus.Fault(
        1,
        "<class 'psycopg2.errors.UniqueViolation'>: duplicate key value violates unique constraint "
        '"users_name_key"\nDETAIL:  Key (name)=(alice) already exists.\n',
    )
    with pytest.raises(LifecycleError) as caught, hub_errors():
        raise fault
    assert caught.value.message.endswith("by another program: Key (name)=(alice) already exists.")
    assert caught.value.hint == "run the same command again"


def test_a_hub_that_is_gone_in_the_middle() -> None:
    with pytest.raises(LifecycleError) as caught, hub_errors():
        raise requests.ConnectionError("Connection aborted")
    assert "toji wait" in str(caught.value.hint)


def test_the_end_of_a_session_calls_nothing() -> None:
    calls: list[str] = []
    session = without_logout(type("Other", (), {"__del__": lambda self: calls.append("logout")}))()
    del session
    assert calls == []
