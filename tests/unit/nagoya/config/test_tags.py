"""The tag of a moromi.yml: in the names of its images, wherever they are used."""

from collections.abc import Callable
from pathlib import Path

import pytest

from nagoya.build.steps import build_graph
from nagoya.config import extends, loader
from nagoya.errors import DeclarationError, UsageError

TEXT = """
base: {image: "debian:bookworm-slim", suite: bookworm}
images:
  hub: {}
  data: {folder: folders/data}
  demo: {system: {root: {image: hub, entrypoint: [x]}, commit: {koji: hub-demo}}}
containers: {koji: {image: hub}}
"""
FROM = "ARG MOROMI_TAG=latest\nFROM data:${MOROMI_TAG}\n"
FILES = {
    "moromi.yml": TEXT,
    "hub/Dockerfile": FROM,
    "folders/data/Dockerfile": "FROM debian:bookworm-slim\n",
    "new.yml": "extends: moromi.yml\ntag: new\n",
    "mine.yml": "extends: new.yml\nimages: {mine: {}}\n",
    "mine/Dockerfile": "ARG MOROMI_TAG\nFROM hub-demo:$MOROMI_TAG\n",
}
Tree = Callable[..., Path]


def test_each_name_of_an_image_has_the_tag(tree: Tree) -> None:
    path = tree(FILES) / "new.yml"
    declared = loader.read(path)
    assert list(declared.images) == ["hub:new", "data:new", "demo"]
    assert declared.containers["koji"].image == "hub:new"
    assert declared.produced_by == {"hub-demo:new": "demo"}
    assert declared.dockerfile("data:new") == path.parent / "folders/data/Dockerfile"
    steps = build_graph(declared).steps
    assert steps["hub:new"].images == ("data:new",)
    assert steps["hub:new"].title == "hub"
    # The system of images that is started has the same tag, although another file declares it.
    assert steps["demo"].images == ("hub:new",)


def test_the_default_is_the_tag_that_docker_adds(tree: Tree) -> None:
    declared = loader.read(tree(FILES) / "moromi.yml")
    assert list(declared.images) == ["hub", "data", "demo"]
    assert build_graph(declared).steps["hub"].images == ("data",)


def test_an_extending_file_inherits_the_tag(tree: Tree) -> None:
    graph = build_graph(declared := loader.read(tree(FILES) / "mine.yml"))
    assert graph.steps["mine:new"].images == ("hub-demo:new",)
    assert graph.select(declared, ["mine", "hub-demo"]) == {"mine:new", "demo"}
    assert graph.select(declared, ["mine:new"]) == {"mine:new"}


def test_a_system_of_another_file_has_that_files_tag(tree: Tree) -> None:
    text = "extends: new.yml\ntag: mine\nimages: {demo: {system: {containers: new.yml, %s}}}\n"
    files = {**FILES, "mine.yml": text % "commit: {koji: hub-demo}"}
    steps = build_graph(loader.read(tree(files) / "mine.yml")).steps
    assert steps["demo"].images == ("hub:new",)
    assert steps["demo"].outputs == ("hub-demo:mine",)


@pytest.mark.parametrize(
    ("text", "name"),
    [("FROM hub\n", "hub"), ("FROM debian:12\nCOPY --from=hub-demo:latest /a /a\n", "hub-demo")],
)
def test_an_image_of_another_file_is_refused(tree: Tree, text: str, name: str) -> None:
    with pytest.raises(DeclarationError) as caught:
        build_graph(loader.read(tree({**FILES, "mine/Dockerfile": text}) / "mine.yml"))
    (problem,) = caught.value.problems
    assert problem.startswith(f"images.mine:new: FROM {name} is not the image that this file makes")
    assert "`ARG MOROMI_TAG=latest`" in problem


def test_the_argument_is_not_the_users(tree: Tree) -> None:
    declared = loader.read(tree(FILES) / "new.yml")
    with pytest.raises(UsageError, match="MOROMI_TAG follows from moromi"):
        build_graph(declared, {"MOROMI_TAG": "other"})


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("1.35", "tag: should be text, is 1.35; put it in quotes"),
        ("a b", "tag: 'a b' is not a tag for images, such as current"),
        ("", "tag: should be text, is empty"),
    ],
)
def test_a_wrong_tag(tree: Tree, value: str, problem: str) -> None:
    with pytest.raises(DeclarationError) as caught:
        loader.read(tree({**FILES, "new.yml": f"extends: moromi.yml\ntag: {value}\n"}) / "new.yml")
    assert caught.value.problems == (problem,)


def test_the_current_koji_is_built_beside_the_pinned_one(checkout: Path) -> None:
    pinned, current = (loader.read(extends.shipped(name)) for name in ("nagoya", "nagoya-current"))
    assert not set(pinned.images) & set(current.images) - {"demo"}
    assert current.source_dirs["koji"] == checkout / "current"
    assert current.source_dirs["python-multilib"] == checkout
    demo = loader.read(extends.shipped("nagoya-current-demo"))
    assert {container.image for container in demo.containers.values()} == set(demo.produced_by)


@pytest.mark.parametrize("name", extends.OURS)
def test_a_file_of_nagoyas_own_is_called_by_its_name(name: str) -> None:
    assert extends.option(extends.shipped(name)) == f"-c {name}"
    assert extends.option(Path("/a/moromi.yml")) == "-c /a/moromi.yml"
