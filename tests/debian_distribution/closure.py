"""Which Debian packages a distribution takes: those named, and all that they depend on."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

_RELATION = re.compile(
    r"(?P<name>[^\s:(\[]+)(:\w+)?\s*(\((?P<operator>[<>=]+)\s*(?P<version>[^)\s]+)\))?"
)


@dataclass(frozen=True)
class Relation:
    """A package, maybe of certain versions; the operator is Debian's: << <= = >= >>."""

    name: str
    operator: str = ""
    version: str = ""


@dataclass(frozen=True)
class Package:
    """A record of Debian's index. Each item of `depends` is a list of alternatives."""

    name: str
    version: str
    architecture: str
    summary: str
    depends: tuple[tuple[Relation, ...], ...]
    conflicts: tuple[Relation, ...]
    provides: tuple[Relation, ...]


def parse_index(text: str) -> dict[str, Package]:
    """The packages of an index, a file `Packages` of an archive, by name."""
    packages = (_parse(record) for record in text.split("\n\n") if record.startswith("Package:"))
    return {package.name: package for package in packages}


def _parse(record: str) -> Package:
    # Further lines of a field begin with a space; none that is read here has any.
    fields = dict(line.split(": ", 1) for line in record.split("\n") if ": " in line[1:])
    depends = [fields[name] for name in ("Pre-Depends", "Depends") if name in fields]
    conflicts = [fields[name] for name in ("Conflicts", "Breaks") if name in fields]
    return Package(
        name=fields["Package"],
        version=fields["Version"],
        architecture=fields["Architecture"],
        summary=fields.get("Description", fields["Package"]),
        depends=tuple(relations for field in depends for relations in parse_relations(field)),
        conflicts=tuple(
            relation for field in conflicts for (relation, *_) in parse_relations(field)
        ),
        provides=tuple(relation for (relation, *_) in parse_relations(fields.get("Provides", ""))),
    )


def parse_relations(field: str) -> tuple[tuple[Relation, ...], ...]:
    """A field such as `libc6 (>= 2.38), awk | gawk`: all of its items, each with alternatives."""
    return tuple(
        tuple(_parse_relation(text) for text in alternatives.split("|"))
        for alternatives in field.split(",")
        if alternatives.strip()
    )


def _parse_relation(text: str) -> Relation:
    match = _RELATION.match(text.strip())
    assert match, text
    return Relation(match["name"], match["operator"] or "", match["version"] or "")


def closure(
    archive: Mapping[str, Package], wanted: Sequence[str], left_out: Iterable[str]
) -> dict[str, Package]:
    """The wanted packages and what they depend on, by name, without those left out and what only
    they need. Of alternatives, one that is wanted counts, or else the first that exists."""
    providers: dict[str, list[str]] = {}
    for package in archive.values():
        for virtual in package.provides:
            providers.setdefault(virtual.name, []).append(package.name)

    def candidates(relation: Relation) -> list[str]:
        real = [relation.name] if relation.name in archive else []
        return real + sorted(providers.get(relation.name, []))

    chosen: dict[str, Package] = {}
    omitted, waiting = set(left_out), list(wanted)
    while waiting:
        name = waiting.pop(0)
        if name in chosen:
            continue
        chosen[name] = archive[name]
        for alternatives in archive[name].depends:
            choices = [candidate for relation in alternatives for candidate in candidates(relation)]
            if omitted.isdisjoint([*choices, *(relation.name for relation in alternatives)]):
                preferred = next((choice for choice in choices if choice in wanted), None)
                waiting.append(preferred or choices[0])
    return dict(sorted(chosen.items()))
