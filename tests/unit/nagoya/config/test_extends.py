"""A moromi.yml that extends another: what wins, where paths lead, which file is blamed."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nagoya.build import dockerfile
from nagoya.build.context import Context
from nagoya.build.steps import build_graph
from nagoya.config import loader
from nagoya.config.model import Image
from nagoya.errors import DeclarationError
from nagoya.utils.lock import cache_folder

THEIRS = """
sources: {koji: {path: ../koji}, other: {path: ../koji}}
base: {image: "debian:bookworm-slim", suite: bookworm}
images: {hub: {}, data: {folder: folders/data}}
containers:
  creds: {image: data, callbacks: {post_start: [callbacks.greet]}}
  koji:
    image: hub
    ports: [80, 443]
    volumes_from: ["creds:ro"]
    environment: {ONE: one, TWO: two}
  builder: {image: data, links: [koji]}
"""
FOLDERS = {
    "theirs/moromi.yml": THEIRS,
    "theirs/hub/Dockerfile": "FROM scratch\nCOPY hub src/koji /\n",
    "theirs/folders/data/Dockerfile": "FROM scratch\n",
    "theirs/callbacks.py": "def greet(container): container.log('hello')\n",
    "theirs/src/koji/theirs": "",
    "koji/setup.py": "",
}

Tree = Callable[..., Path]
Over = Callable[..., Path]


@pytest.fixture
def over(tree: Tree) -> Over:
    """Write ours/moromi.yml over theirs, with other files beside it."""

    def write(text: str, **beside: str) -> Path:
        files = {f"ours/{name}": content for name, content in beside.items()}
        document = f"extends: ../theirs/moromi.yml\n{text}"
        return tree({**FOLDERS, **files, "ours/moromi.yml": document}) / "ours" / "moromi.yml"

    return write


def problems(path: Path) -> tuple[str, ...]:
    with pytest.raises(DeclarationError) as caught:
        loader.read(path)
    return caught.value.problems


def test_nothing_said_changes_nothing(over: Over) -> None:
    path = over("")
    extension, base = loader.read(path), loader.read(path.parents[1] / "theirs/moromi.yml")
    assert extension.containers == base.containers
    assert extension.images == base.images
    assert extension.base == base.base
    assert extension.path == path
    assert extension.files == (path, base.path)


def test_containers_are_merged_key_by_key(over: Over) -> None:
    declared = loader.read(
        over(
            "containers: {more: {image: hub}, koji: {ports: [443], environment: {TWO: 2, SIX: 6}}}"
        )
    )
    koji = declared.containers["koji"]
    assert koji.image == "hub"
    assert [port.container for port in koji.ports] == [443]
    assert koji.environment == {"ONE": "one", "TWO": "2", "SIX": "6"}
    assert list(declared.containers) == ["creds", "koji", "builder", "more"]


def test_null_takes_away(over: Over) -> None:
    declared = loader.read(
        over("containers: {builder: null, koji: {environment: {ONE: null}, ports: null}}")
    )
    assert list(declared.containers) == ["creds", "koji"]
    assert declared.containers["koji"].environment == {"TWO": "two"}
    assert declared.containers["koji"].ports == ()


def test_sources_and_images_are_replaced_whole(over: Over) -> None:
    declared = loader.read(
        over(
            f"sources: {{koji: {{pypi: koji==1, sha256: {'a' * 64}}}}}\nimages: {{data: {{}}}}",
            **{"data/Dockerfile": "FROM scratch\n"},
        )
    )
    assert declared.sources["koji"].path is None
    assert declared.images["data"] == Image()


def test_paths_are_relative_to_the_file_that_names_them(over: Over) -> None:
    path = over(
        "sources: {mine: {path: plugins}}\nimages: {mine: {}}",
        **{"mine/Dockerfile": "FROM hub\n", "plugins/a.py": ""},
    )
    folder, base = path.parent, path.parents[1] / "theirs"
    declared = loader.read(path)
    assert declared.dockerfile("mine") == folder / "mine/Dockerfile"
    assert declared.dockerfile("data") == base / "folders/data/Dockerfile"
    assert declared.contexts["hub"] == base
    assert declared.sources["mine"].path == str(folder / "plugins")
    assert declared.sources["koji"].path == str(base / "../koji")
    assert declared.source_dirs == {"mine": folder, "koji": base, "other": base}
    assert build_graph(declared).steps["mine"].images == ("hub",)


def test_a_source_lies_beside_the_file_that_declares_it(over: Over) -> None:
    path = over(
        "sources: {koji: {path: a}}", **{"a/b": "", "src/koji/ours": "", "src/koji/d/b": ""}
    )
    declared = loader.read(path)
    file = dockerfile.read(declared.dockerfile("hub"))
    context = Context(declared.contexts["hub"], file, declared.source_dirs)
    assert context.paths == [
        "hub", "hub/Dockerfile", "src/koji", "src/koji/d", "src/koji/d/b", "src/koji/ours",
    ]  # fmt: skip


def test_callbacks_are_found_beside_either(over: Over) -> None:
    path = over(
        "containers: {koji: {callbacks: {post_stop: [ours.bid]}}}",
        **{"ours.py": "def bid(container): container.log('bye')\n"},
    )
    messages: list[Any] = []
    declared = loader.read(path)
    for name in ("ours.bid", "callbacks.greet"):
        declared.call(name, "post_stop", SimpleNamespace(name="koji", log=messages.append))
    assert messages == ["bye", "hello"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("containers: {koji: {lnks: [x]}}", "containers.koji.lnks: unknown key"),
        ("containers: {koji: {links: [x]}}", "containers.koji.links[0]: unknown container 'x'"),
        ("containers: {more: {}}", "containers.more: needs 'image'"),
        ("containers: ", "containers: should be a mapping of keys, is empty"),
        ("containers: {more: }", "containers.more: should be a mapping of keys, is empty"),
        ("images: {mine: {}}", "images.mine: the folder mine/ has no Dockerfile"),
        ("sources: {koji: {path: away}}", "sources.koji.path: no such folder: away"),
        ("surplus: 1", "surplus: unknown key"),
    ],
)
def test_a_problem_in_our_own_part_is_reported_without_a_file(
    over: Over, text: str, message: str
) -> None:
    (problem,) = problems(over(text))
    assert problem.startswith(message)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("containers: {koji: null}", "containers.builder.links[0]: unknown container 'koji'"),
        ("containers: {creds: {image: none}}", "containers.creds.image: unknown image 'none'"),
        (
            "containers: {koji: {links: [builder]}}",
            "containers: circular dependency: koji => builder => koji",
        ),
        (
            "containers: {koji: {run_once: true}}",
            "containers.koji: 'run_once' needs 'detach: false', because toji waits only for such "
            "containers",
        ),
        (
            "containers: {koji: {environment: {URL: '{port:1}'}}}",
            "containers.koji: environment.URL uses {port:1}, but 'ports' does not publish port 1",
        ),
    ],
)
def test_a_problem_that_only_ours_causes_is_not_blamed_on_theirs(
    over: Over, text: str, problem: str
) -> None:
    assert problems(over(text)) == (problem,)


def test_a_problem_of_theirs_is_reported_with_their_file(over: Over) -> None:
    path = over("containers: {builder: {image: none}}")
    theirs = path.parents[1] / "theirs/moromi.yml"
    theirs.write_text(THEIRS.replace("creds:ro", "cred:ro"))
    assert set(problems(path)) == {
        f"{theirs}: containers.koji.volumes_from[0]: unknown container 'cred'; "
        "did you mean 'creds'?",
        "containers.builder.image: unknown image 'none'",
    }


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("away.yml", "extends: no such file: away.yml"),
        ("[a, b]", "extends: should be 'nagoya' or the path of a file, is ['a', 'b']"),
        ("", "extends: should be 'nagoya' or the path of a file, is None"),
    ],
)
def test_a_wrong_extends(tree: Tree, value: str, message: str) -> None:
    assert problems(tree({"moromi.yml": f"extends: {value}\n"}) / "moromi.yml") == (message,)


def test_a_circle_is_named(tree: Tree) -> None:
    folder = tree({"a.yml": "extends: b.yml\n", "b.yml": "extends: a.yml\n"})
    a, b = folder / "a.yml", folder / "b.yml"
    assert problems(a) == (f"extends: circular dependency: {a} => {b} => {a}",)


def test_ours_is_extended_by_name(tree: Tree, checkout: Path) -> None:
    path = tree({"moromi.yml": "extends: nagoya\ncontainers: {kojibuilder: null}\n"}) / "moromi.yml"
    declared = loader.read(path)
    assert declared.files[1] == checkout / "moromi.yml"
    assert "kojibuilder" not in declared.containers


def test_nothing_is_written_to_an_installed_package(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tree(FOLDERS) / "theirs" / "moromi.yml"
    monkeypatch.setattr("nagoya.config.loader.INSTALLED", path.parent)
    declared = loader.read(path)
    assert declared.source_dirs["koji"].is_relative_to(cache_folder())
    assert declared.contexts["hub"] == path.parent

    monkeypatch.setattr("nagoya.config.loader.INSTALLED", path.parents[1])
    assert loader.read(path).source_dirs["koji"] == declared.source_dirs["koji"] / "theirs"


def test_no_line_of_another_file_is_printed(tmp_path: Path) -> None:
    (tmp_path / "shadow").write_text("root:$6$salt$hash:20228::\nbin:*:20228::\n")
    (tmp_path / "moromi.yml").write_text("extends: shadow\n")
    with pytest.raises(DeclarationError) as error:
        loader.read(tmp_path / "moromi.yml")
    (problem,) = error.value.problems
    assert "has none of moromi.yml's keys: extends" in problem
