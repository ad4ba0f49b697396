"""The packages of nagoya/ import downwards only, and the two worlds nothing of each other."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

LAYERS = ("cli", "testing", "build", "koji", "system", "config", "engine", "utils", "errors")
"""From the top down, as the docstring of nagoya/__init__.py has it."""


def imports(path: Path) -> Iterator[str]:
    """The dotted names that a module imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def layer(dotted: str) -> str | None:
    """The package of nagoya/ that a dotted name is in."""
    parts = dotted.split(".")
    return parts[1] if parts[0] == "nagoya" and len(parts) > 1 and parts[1] in LAYERS else None


def upward(name: str, path: Path) -> list[str]:
    """What a module of one layer imports from a layer above it."""
    above = LAYERS[: LAYERS.index(name)]
    return [dotted for dotted in imports(path) if layer(dotted) in above]


@pytest.mark.parametrize("name", LAYERS)
def test_imports_point_downwards(name: str, checkout: Path) -> None:
    paths = [*(checkout / "nagoya").glob(f"{name}.py"), *(checkout / "nagoya" / name).glob("*.py")]
    assert paths
    assert {str(path): lines for path in paths if (lines := upward(name, path))} == {}


def test_an_upward_import_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "client.py"
    path.write_text("def late():\n    from nagoya.system import owner\n")
    assert upward("engine", path) == ["nagoya.system.owner"]
    assert upward("koji", path) == []


def test_a_module_has_at_most_300_lines(checkout: Path) -> None:
    lengths = {
        str(path): len(path.read_text().splitlines())
        for path in (checkout / "nagoya").rglob("*.py")
    }
    assert {path: length for path, length in lengths.items() if length > 300} == {}


def test_every_package_has_its_layer(checkout: Path) -> None:
    """So that test_imports_point_downwards looks at all of them."""
    packages = {path.parent.relative_to(checkout) for path in (checkout / "nagoya").rglob("*.py")}
    expected = {Path("nagoya"), *(Path("nagoya", name) for name in LAYERS)}
    assert packages <= expected


def test_no_two_modules_share_a_name(checkout: Path) -> None:
    names = [path.stem for path in (checkout / "nagoya").rglob("*.py") if path.stem != "__init__"]
    packages = [path.parent.name for path in (checkout / "nagoya").rglob("*/__init__.py")]
    # The system of a system, and a package that holds the errors' module of its own name.
    allowed = {"system"}
    every = [*names, *packages]
    assert {name for name in every if every.count(name) > 1} <= allowed


def test_only_the_engine_package_speaks_docker(checkout: Path) -> None:
    outside = [
        path
        for path in (checkout / "nagoya").rglob("*.py")
        if path.parent.name != "engine"
        and any(dotted.split(".")[0] == "docker" for dotted in imports(path))
    ]
    # `PatternMatcher` reads .dockerignore as Docker does; it asks no engine.
    assert [path.name for path in outside] == ["context.py"]


def test_only_the_engine_package_looks_into_the_sdk_s_objects(checkout: Path) -> None:
    """Elsewhere a Handle is opaque, and so is the client of an Engine."""
    places = [
        f"{path}:{node.lineno}"
        for path in [*(checkout / "nagoya").rglob("*.py"), checkout / "kojicallbacks.py"]
        if path.parent.name != "engine"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in ("attrs", "client", "docker")
    ]
    assert places == []


def test_the_two_worlds_import_nothing_of_each_other(checkout: Path) -> None:
    images = [
        path
        for folder in ("util", *map(str, checkout.glob("koji-*")))
        for path in (checkout / folder).rglob("*.py")
    ]
    host = [*(checkout / "nagoya").rglob("*.py"), checkout / "kojicallbacks.py"]
    assert images
    assert [
        str(p) for p in images if any(name.split(".")[0] == "nagoya" for name in imports(p))
    ] == []
    assert [str(p) for p in host if any(name.split(".")[0] == "util" for name in imports(p))] == []
