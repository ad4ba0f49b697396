"""What is shown while an image is pushed or pulled, and what is said if that fails."""

import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from nagoya.engine import Engine, registry
from nagoya.engine.images import repository_and_tag
from nagoya.engine.registry import Layers, pull, push
from nagoya.errors import EngineError

DIGEST = f"sha256:{'1' * 64}"
NAME = "registry.example.com:5000/koji/koji-hub:latest"
# As Docker 20.10 sends them.
PUSHED: list[dict[str, Any]] = [
    {"status": "The push refers to repository [registry.example.com:5000/koji/koji-hub]"},
    {"status": "Preparing", "progressDetail": {}, "id": "a" * 12},
    {"status": "Preparing", "progressDetail": {}, "id": "b" * 12},
    {"status": "Layer already exists", "progressDetail": {}, "id": "b" * 12},
    {
        "status": "Pushing", "id": "a" * 12,
        "progressDetail": {"current": 30_000_000, "total": 80_000_000},
    },
    {"status": "Retrying in 5 seconds", "progressDetail": {}, "id": "a" * 12},
    {"status": "Pushed", "progressDetail": {}, "id": "a" * 12},
    {"status": f"latest: digest: {DIGEST} size: 528"},
    {"progressDetail": {}, "aux": {"Tag": "latest", "Digest": DIGEST, "Size": 528}},
]  # fmt: skip


def engine(*events: dict[str, Any]) -> Engine:
    def answer(*_: object, **__: object) -> Iterator[dict[str, Any]]:
        return iter(events)

    api = SimpleNamespace(push=answer, pull=answer)
    return cast(Engine, SimpleNamespace(client=SimpleNamespace(api=api)))


def test_a_push_says_how_far_it_is_and_returns_the_digest() -> None:
    lines: list[str] = []
    assert push(engine(*PUSHED), NAME, lines.append) == DIGEST
    assert lines[3:-1] == [
        "1 of 2 layers",
        "1 of 2 layers, 30 of 80 MB",
        "aaaaaaaaaaaa: Retrying in 5 seconds",
        "2 of 2 layers, 80 of 80 MB",
    ]


def test_extracting_a_layer_is_not_downloading_it() -> None:
    layers = Layers()
    detail = {"current": 5_000_000, "total": 9_000_000}
    layer = {"id": "c" * 12, "progressDetail": detail}
    assert layers.line({"status": "Pulling from koji/koji-hub", "id": "latest"})
    assert layers.line({"status": "Downloading", **layer}) == "0 of 1 layers, 5 of 9 MB"
    assert layers.line({"status": "Extracting", **layer}) == "0 of 1 layers, 9 of 9 MB"
    assert layers.line({"status": "Pull complete", "id": "c" * 12}) == "1 of 1 layers, 9 of 9 MB"


@pytest.mark.parametrize(
    ("message", "hint"),
    [
        ("no basic auth credentials", "docker login registry.example.com:5000"),
        ("unauthorized: authentication required", "docker login registry.example.com:5000"),
        ("denied: requested access to the resource is denied", "docker login"),
        (
            'Get "https://registry.example.com:5000/v2/": x509: certificate signed by unknown '
            "authority",
            "/etc/docker/certs.d/registry.example.com:5000/ca.crt",
        ),
        ("http: server gave HTTP response to HTTPS client", "insecure-registries"),
        ("manifest for x not found: manifest unknown: manifest unknown", "moromi push"),
        ("manifest verification failed for digest sha256:1", "not what was pushed"),
        ("dial tcp 192.0.2.1:5000: connect: connection refused", "reach it"),
        ("dial tcp: lookup registry.example.com: no such host", "reach it"),
        ("received unexpected HTTP status: 500 Internal Server Error", "its disk may be full"),
        ("write /var/lib/docker/tmp/x: no space left on device", "the disk of the engine is full"),
    ],
)
def test_a_hint_for_what_a_registry_says(message: str, hint: str) -> None:
    for transfer, verb in ((pull, "pulling"), (push, "pushing")):
        with pytest.raises(EngineError) as caught:
            transfer(engine({"error": message}), NAME, lambda line: None)
        assert caught.value.message == f"{verb} {NAME}: {message}"
        assert hint in str(caught.value.hint)


def test_an_image_that_names_no_registry() -> None:
    """A parent of an image, which moromi.yml may declare."""
    with pytest.raises(EngineError) as caught:
        pull(engine({"error": "pull access denied for koji-hub"}), "koji-hub", lambda line: None)
    assert caught.value.hint == "`moromi build` makes the images"


def test_a_registry_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_ANSWER_SECONDS", 0.01)

    def silent(*_: object, **__: object) -> Iterator[dict[str, Any]]:
        yield PUSHED[0]
        time.sleep(1)

    silence = SimpleNamespace(client=SimpleNamespace(api=SimpleNamespace(push=silent)))
    with pytest.raises(EngineError, match="no registry answers"):
        push(cast(Engine, silence), NAME, lambda line: None)


def test_the_parts_of_a_name() -> None:
    assert repository_and_tag(NAME) == ("registry.example.com:5000/koji/koji-hub", "latest")
    assert repository_and_tag("localhost:5000/hub") == ("localhost:5000/hub", "latest")
    assert repository_and_tag(f"r:5000/hub@{DIGEST}") == ("r:5000/hub", DIGEST)
