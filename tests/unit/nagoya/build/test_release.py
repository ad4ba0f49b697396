"""Where a release is, what it says of its images, and what a pull does with them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from nagoya.build.provenance import statement
from nagoya.build.pull import plan_pull
from nagoya.build.release import Address, Release
from nagoya.build.steps import BuildGraph, build_graph
from nagoya.config import loader
from nagoya.errors import UsageError

DIGEST = f"sha256:{'1' * 64}"
TEXT = """
tag: next
sources:
  koji: {path: tree}
  pip: {pypi: Pip==1.2, sha256: "%s"}
base: {image: "debian:bookworm-slim", suite: bookworm}
images: {base: {}, hub: {}, builder: {}, demo: {system: {commit: {koji: hub-demo}}}}
containers: {koji: {image: hub}}
"""
FROM = "ARG MOROMI_TAG=latest\nFROM base:${MOROMI_TAG}\n"
FILES = {
    "moromi.yml": TEXT % ("2" * 64),
    "tree/x": "",
    "base/Dockerfile": "FROM debian:bookworm-slim\n",
    "hub/Dockerfile": f"{FROM}COPY src/koji /koji\nCOPY src/pip /pip\n",
    "builder/Dockerfile": FROM,
}


@pytest.fixture
def graph(tree: Callable[..., Path]) -> BuildGraph:
    return build_graph(loader.read(tree(FILES) / "moromi.yml"))


@pytest.mark.parametrize(
    ("text", "registry", "image"),
    [
        ("registry.example.com", "registry.example.com", "registry.example.com/moromi:next"),
        ("r.example.com:5000/a/b", "r.example.com:5000/a/b", "r.example.com:5000/a/b/moromi:next"),
        ("team", "team", "team/moromi:next"),
        (f"r.example.com/a/moromi@{DIGEST}", "r.example.com/a", f"r.example.com/a/moromi@{DIGEST}"),
        (f"team/moromi@{DIGEST}", "team", f"team/moromi@{DIGEST}"),
    ],
)
def test_an_address(text: str, registry: str, image: str) -> None:
    address = Address.parse(text, "next")
    assert (address.registry, address.image) == (registry, image)
    assert address.pinned("x") == f"{registry}/moromi@x"


@pytest.mark.parametrize(
    "text",
    [
        "https://registry.example.com", "registry.example.com/", "", "a b", "r.example.com/Upper",
        f"registry.example.com/koji@{DIGEST}", "registry.example.com/koji:latest",
        "registry.example.com/moromi@sha256:12",
    ],
)  # fmt: skip
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(UsageError, match="is not the address of a registry"):
        Address.parse(text, "next")


def test_where_an_image_is_in_a_registry() -> None:
    address = Address.parse("r.example.com/koji", "next")
    assert address.repository("hub:next") == "r.example.com/koji/hub"
    assert address.repository("team/hub") == "r.example.com/koji/team/hub"
    assert address.repository("debian:bookworm-slim") == "r.example.com/koji/debian"
    assert address.repository("other.example.com:5000/a/b:1") == "r.example.com/koji/a/b"


def test_what_a_release_lacks() -> None:
    release = Release("r.example.com/moromi@x", {"hub": "", "base": ""})
    release.require(["hub"])
    with pytest.raises(UsageError, match="moromi@x has no builder, top") as caught:
        release.require(["top", "hub", "builder"])
    assert "it has hub, base;" in str(caught.value.hint)


def test_the_images_that_are_pushed(graph: BuildGraph) -> None:
    base = {"debian:bookworm-slim": (), "base:next": ("debian:bookworm-slim",)}
    assert graph.images(["hub:next"]) == {**base, "hub:next": ("base:next",)}
    assert graph.images(["demo"]) == {
        **base,
        "hub:next": ("base:next",),
        "hub-demo:next": ("hub:next",),
    }


def test_what_a_pull_does() -> None:
    references = {name: f"r/{name}@{DIGEST}" for name in ("debian:1", "base", "hub", "top", "new")}
    here = {
        **dict.fromkeys(references, "id-old"),
        "new": None,
        "top": "id-top",
        references["top"]: "id-top",
        references["hub"]: "id-hub",
    }
    plan = plan_pull(references, {"base", "hub", "top", "new"}, here)
    assert {name: (step.action, step.cause) for name, step in plan.items()} == {
        "debian:1": ("keep", "present"),
        "base": ("pull", "another image has that name"),
        "hub": ("tag", "pulled before"),
        "top": ("keep", "present"),
        "new": ("pull", "no such image here"),
    }


def test_how_an_image_was_made(graph: BuildGraph) -> None:
    labels = {
        "nagoya.inputs": "3" * 64,
        "org.opencontainers.image.created": "2026-11-27T12:00:00+00:00",
    }
    record = statement(
        "r.example.com/koji/hub",
        DIGEST,
        graph.steps["hub:next"],
        labels=labels,
        parents={"base:next": f"sha256:{'4' * 64}"},
        commit="5" * 40,
    )
    assert record["subject"] == [{"name": "r.example.com/koji/hub", "digest": {"sha256": "1" * 64}}]
    assert record["predicateType"] == "https://slsa.dev/provenance/v1"
    definition = record["predicate"]["buildDefinition"]
    assert definition["externalParameters"] == {"image": "hub", "arguments": {"MOROMI_TAG": "next"}}
    assert definition["internalParameters"] == {"inputs": "3" * 64}
    assert definition["resolvedDependencies"] == [
        {"name": "checkout", "digest": {"gitCommit": "5" * 40}},
        {"name": "koji", "uri": "pkg:generic/koji"},
        {"name": "pip", "uri": "pkg:pypi/pip@1.2", "digest": {"sha256": "2" * 64}},
        {"name": "base:next", "digest": {"sha256": "4" * 64}},
    ]
    assert record["predicate"]["runDetails"]["metadata"] == {
        "finishedOn": "2026-11-27T12:00:00+00:00"
    }
