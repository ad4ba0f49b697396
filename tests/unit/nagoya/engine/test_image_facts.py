"""What an image says about its containers."""

import pytest

from nagoya.engine.image_facts import ImageFacts


def test_a_configuration() -> None:
    config = {
        "Healthcheck": {
            "Test": ["CMD", "a", "b"],
            "Interval": 5 * 10**9,
            "Timeout": 10**9,
            "Retries": 2,
        },
        "ExposedPorts": {"443/tcp": {}, "80/tcp": {}, "53/udp": {}},
        "Volumes": {"/mnt/koji": {}},
        "Labels": {"nagoya.image": "one"},
    }
    assert ImageFacts.read(config) == ImageFacts(
        ("a", "b"), 5, 1, 2, (80, 443), ("/mnt/koji",), {"nagoya.image": "one"}
    )


@pytest.mark.parametrize(
    ("check", "health"),
    [
        (None, ()),
        ({"Test": ["NONE"]}, ()),
        ({"Test": ["CMD-SHELL", "exit 0"]}, ("/bin/sh", "-c", "exit 0")),
    ],
)
def test_what_may_be_absent(check: dict[str, list[str]] | None, health: tuple[str, ...]) -> None:
    assert ImageFacts.read({"Healthcheck": check, "Labels": None}) == ImageFacts(health)
