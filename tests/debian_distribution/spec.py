"""The spec of the RPM that a .deb becomes. Its files are those of the .deb, already compiled."""

import os
import re
from collections.abc import Iterable
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path

from . import tables
from .closure import Package, Relation

_OPERATORS = {"<<": "<", "<=": "<=", "=": "=", ">=": ">=", ">>": ">", "<": "<=", ">": ">="}
ARCHITECTURES = {"all": "noarch", "amd64": "x86_64", "i386": "i686"}


def split_version(version: str) -> tuple[str, str, str]:
    """Epoch, version and release of a Debian version; RPM allows no dash in either."""
    epoch, _, rest = version.rpartition(":")
    upstream, _, revision = rest.rpartition("-") if "-" in rest else (rest, "", "0")
    return epoch, upstream.replace("-", "."), revision


def dependency(relation: Relation) -> str:
    """A relation as RPM writes it, such as `gcc >= 4:14.2.0-1`.

    Where it names no revision, any counts for RPM, and Debian's come after none. A revision of
    `.`, which no package has, comes after all.
    """
    if not relation.operator:
        return relation.name
    operator = _OPERATORS[relation.operator]
    epoch, version, release = split_version(relation.version)
    if "-" not in relation.version or release == ".":
        operator, release = {">": ">="}.get(operator, operator), ""
        operator = "<=" if relation.version.endswith("-.") else operator
    evr = f"{epoch}:{version}" if epoch else version
    return f"{relation.name} {operator} {evr}{'-' if release else ''}{release}"


def requirement(alternatives: Iterable[Relation]) -> str:
    """An item of Depends; alternatives make a rich dependency."""
    words = [dependency(relation) for relation in alternatives]
    return words[0] if len(words) == 1 else f"({' or '.join(words)})"


def requirements(package: Package) -> list[str]:
    """What a package requires, without what is left out of the distribution."""
    texts = [
        requirement(alternatives)
        for alternatives in package.depends
        if not any(relation.name in tables.LEFT_OUT for relation in alternatives)
    ]
    return [*texts, *tables.REQUIRES.get(package.name, ())]


def provisions(package: Package) -> list[Relation]:
    """What a package provides. For RPM, what has no version is of every version, and so in conflict
    with those of old; it gets the package's own."""
    own = Relation("", "=", package.version)
    return [
        relation if relation.operator else replace(own, name=relation.name)
        for relation in package.provides
    ]


def development_names(name: str) -> list[str]:
    """The names that specs use for libfoo-dev: libfoo-devel and foo-devel."""
    if not name.endswith("-dev"):
        return []
    return sorted({f"{name}el", f"{name.removeprefix('lib')}el"})


def arrange(tree: Path, package: str) -> None:
    """Make a .deb's tree what the RPM contains: /usr merged, without what no build reads, with
    the links of alternatives."""
    for name in ("bin", "lib", "lib64", "sbin"):
        if (tree / name).is_dir() and not (tree / name).is_symlink():
            _merge(tree / name, tree / "usr" / name)
    for path in sorted(tree.rglob("*"), reverse=True):
        inner = f"/{path.relative_to(tree)}"
        if any(fnmatch(inner, pattern) for pattern in tables.NOT_PACKED):
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    for link, target in tables.LINKS.get(package, {}).items():
        (tree / link).symlink_to(target)


def _merge(source: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for path in source.iterdir():
        if path.is_dir() and not path.is_symlink() and (target / path.name).is_dir():
            _merge(path, target / path.name)
        else:
            path.rename(target / path.name)
    source.rmdir()


def file_list(tree: Path, shared: frozenset[str], conffiles: Iterable[str]) -> str:
    """The %files of a tree; directories in `shared` belong to `filesystem`."""
    configuration = set(conffiles)
    lines = []
    for directory, names, files in os.walk(tree):
        here = Path(directory)
        inner = f"/{here.relative_to(tree)}" if here != tree else "/"
        if inner not in shared:
            lines.append(f'%dir "{_escape(inner)}"')
        for name in [*files, *(name for name in names if (here / name).is_symlink())]:
            path = f"/{(here / name).relative_to(tree)}"
            prefix = "%config(noreplace) " if path in configuration else ""
            lines.append(f'{prefix}"{_escape(path)}"')
    return "\n".join(sorted(lines))


def _escape(text: str) -> str:
    return text.replace("%", "%%")


def spec(
    package: Package, tree: Path, files: str, provides: Iterable[str], requires: Iterable[str]
) -> str:
    """The whole spec, with what its files provide and require. Its %install moves the tree to the
    buildroot."""
    epoch, version, release = split_version(package.version)
    own = {package.name, *(relation.name for relation in package.provides)}
    named = [*tables.PROVIDES.get(package.name, ()), *development_names(package.name)]
    lines = [
        f"Name: {package.name}",
        *([f"Epoch: {epoch}"] if epoch else []),
        f"Version: {version}",
        f"Release: {release}",
        f"Summary: {_escape(package.summary)}",
        "License: as in Debian's package",
        *(["BuildArch: noarch"] if package.architecture == "all" else []),
        "AutoReqProv: no",
        "Requires(pre): filesystem, setup",
        *(f"Requires: {text}" for text in [*requirements(package), *sorted(set(requires))]),
        *tables.SCRIPTLET_REQUIRES.get(package.name, ()),
        *(f"Provides: {dependency(relation)}" for relation in provisions(package)),
        *(f"Provides: {name}" for name in [*named, *sorted(set(provides))]),
        *(
            f"Conflicts: {dependency(relation)}"
            for relation in package.conflicts
            if relation.name not in own
        ),
        "%description",
        f"Debian's {package.name} {package.version}.",
        "%install",
        f"mv {tree}/* %{{buildroot}}/" if any(tree.iterdir()) else "",
        tables.SCRIPTLETS.get(package.name, ""),
        "%files",
        "%defattr(-,-,-)",
        files,
        "",
    ]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines))
