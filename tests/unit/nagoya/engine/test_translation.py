"""What Docker and Podman say when something fails, and the hint that goes with it."""

import docker.errors
import pytest
import requests.exceptions
from docker.errors import DockerException

from nagoya.engine.translation import translated
from nagoya.errors import EngineError


@pytest.mark.parametrize(
    ("message", "hint"),
    [
        ("write /var/lib/docker/tmp/x: no space left on device", "moromi clean"),
        ("Bind for 127.0.0.1:8443 failed: port is already allocated", "leave the host port out"),
        ("listen tcp4 127.0.0.1:8443: bind: address already in use", "leave the host port out"),
        ("No such image: koji-hub:latest", "moromi build"),
        ("pull access denied for koji-hub, repository does not exist", "moromi build"),
        ("No such container: koji-koji", "toji status"),
        ("can not get logs from container which is dead or marked for removal", "toji status"),
        ("configured logging driver does not support reading", "json-file or local"),
        (
            "could not find an available, non-overlapping IPv4 address pool among the defaults to "
            "assign to the network",
            "default-address-pools",
        ),
        ("all predefined address pools have been fully subnetted", "default-address-pools"),
        (
            "listen tcp4 192.0.2.1:8443: bind: cannot assign requested address",
            "TESTCONTAINERS_HOST_OVERRIDE",
        ),
        (
            "error while removing network: network x id 9a has active endpoints",
            "restart the engine",
        ),
        ("failed to mount: operation not permitted", "lacks a privilege"),
        ("something that nobody knows", None),
    ],
)
def test_a_hint_for_what_is_known(message: str, hint: str | None) -> None:
    for error in (docker.errors.APIError("500", explanation=message), DockerException(message)):
        with pytest.raises(EngineError) as caught, translated("starting koji"):
            raise error
        assert caught.value.message == f"starting koji: {message}"
        assert (hint or "None") in str(caught.value.hint)


def test_an_engine_that_does_not_answer() -> None:
    with pytest.raises(EngineError, match="does not answer") as caught, translated("starting koji"):
        raise requests.exceptions.ConnectionError("gone")
    assert "tools/engine status" in str(caught.value.hint)
