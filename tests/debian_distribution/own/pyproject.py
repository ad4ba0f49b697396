#!/usr/bin/python3
"""Build a Python project in the current folder by its own backend (PEP 517), without pip.

nagoya-pyproject requires [--extra NAME]     print the requirements, as RPMs provide them
nagoya-pyproject wheel FOLDER                write a wheel
nagoya-pyproject install FOLDER ROOT LIST    install the wheels of a folder below ROOT; LIST
                                             gets the names of the modules' files
"""

import argparse
import importlib
import importlib.metadata
import re
import sys
import tempfile
import tomllib
from contextlib import redirect_stdout
from email.parser import HeaderParser
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.version import Version


def build_system() -> dict[str, Any]:
    """The table of pyproject.toml, with PEP 517's defaults."""
    path = Path("pyproject.toml")
    table = tomllib.loads(path.read_text()).get("build-system", {}) if path.exists() else {}
    legacy = {"requires": ["setuptools"], "build-backend": "setuptools.build_meta:__legacy__"}
    return {**legacy, "backend-path": [], **table}


def backend() -> Any:
    """The backend's module or object."""
    table = build_system()
    sys.path[:0] = [str(Path(name).resolve()) for name in table["backend-path"]]
    module, _, attribute = table["build-backend"].partition(":")
    target = importlib.import_module(module)
    for name in attribute.split(".") if attribute else ():
        target = getattr(target, name)
    return target


def rpm_requirement(requirement: Requirement) -> str:
    """A requirement as RPM writes it; RPM has nothing for != and ===."""
    name = f"python3dist({re.sub(r'[-_.]+', '-', requirement.name).lower()})"
    bounds = []
    for specifier in sorted(requirement.specifier, key=str):
        version = specifier.version.removesuffix(".*")
        if specifier.operator == "~=" or (
            specifier.operator == "==" and specifier.version.endswith(".*")
        ):
            release = Version(version).release
            prefix = release[:-1] if specifier.operator == "~=" else release
            above = ".".join(map(str, [*prefix[:-1], prefix[-1] + 1]))
            bounds += [f"{name} >= {version}", f"{name} < {above}"]
        elif specifier.operator in ("==", ">=", "<=", ">", "<"):
            bounds.append(f"{name} {specifier.operator.replace('==', '=')} {version}")
    return f"({' with '.join(bounds)})" if len(bounds) > 1 else (bounds or [name])[0]


def applicable(texts: list[str], extras: list[str]) -> list[Requirement]:
    """The requirements whose markers hold here."""
    requirements = [Requirement(text) for text in texts]
    return [
        requirement
        for requirement in requirements
        if not requirement.marker
        or any(requirement.marker.evaluate({"extra": extra}) for extra in ["", *extras])
    ]


def is_installed(requirement: Requirement) -> bool:
    """Whether a distribution of that name and version is installed."""
    try:
        version = importlib.metadata.version(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return requirement.specifier.contains(version, prereleases=True)


def requires(extras: list[str]) -> None:
    """Print what the project needs, as far as it can be known with what is installed.

    The backend can only be asked once it is installed; rpmbuild calls again until then.
    """

    def add(texts: list[str]) -> bool:
        wanted = applicable(texts, extras)
        for requirement in wanted:
            print(rpm_requirement(requirement))
        return all(map(is_installed, wanted))

    if not add(build_system()["requires"]):
        return
    hooks = backend()
    with redirect_stdout(sys.stderr):
        more = getattr(hooks, "get_requires_for_build_wheel", lambda: [])()
    if not add(more) or not hasattr(hooks, "prepare_metadata_for_build_wheel"):
        return
    with tempfile.TemporaryDirectory() as folder:
        with redirect_stdout(sys.stderr):
            name = hooks.prepare_metadata_for_build_wheel(folder)
        metadata = HeaderParser().parsestr((Path(folder, name) / "METADATA").read_text())
    add(metadata.get_all("Requires-Dist") or [])


def wheel(folder: Path) -> None:
    """Write the project's wheel into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    backend().build_wheel(str(folder))


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("requires").add_argument("--extra", action="append", default=[])
    commands.add_parser("wheel").add_argument("folder", type=Path)
    options = parser.parse_args()
    sys.path.insert(0, "")
    if options.command == "requires":
        requires(options.extra)
    else:
        wheel(options.folder)


if __name__ == "__main__":
    main()
