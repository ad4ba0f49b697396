"""Another Koji beside the pinned one, with the same measurements on both."""

import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from bench.builds import HELLO_GIT, build, build_srpm
from bench.images import sizes
from bench.instances import reset
from bench.memory import cpu_seconds
from bench.systems import BenchSystem, ready_system
from bench.table import Row, side_by_side
from nagoya.config import loader
from nagoya.config.declaration import Declaration

_IDLE = 60
_PINNED = "the pinned Koji"


def declarations(config: str) -> tuple[Declaration, Declaration]:
    """The declaration of `config`, and the pinned one. Exits where both have the same images."""
    other, pinned = (loader.read(loader.locate(path)) for path in (Path(config), None))
    if other.tag == pinned.tag:
        sys.exit(
            f"bench: {config} has the images of the pinned Koji\n  hint: give it another `tag`"
        )
    return other, pinned


def version_rows(other: Declaration, pinned: Declaration, rounds: int) -> Iterator[Row]:
    """The images' sizes; then of two systems at once: idle, building hello, reset."""
    references = sizes(pinned)
    for name, size in sizes(other).items():
        yield Row(f"images: {name}", size, "MB", references.get(name), _PINNED)
    with ready_system("-c", str(other.path)) as new, ready_system("-c", str(pinned.path)) as old:
        for system in (new, old):
            system.toji("verify")
            system.toji("snapshot", "create", "verified")
        yield _idle_row(new, old)
        for measure, names, aim in (
            (_builds, ("hello from its source RPM", "hello from git"), "ratio <= 1.3"),
            (reset, ("toji reset to pristine", "toji reset to a state with builds"), ""),
        ):
            figures = side_by_side(rounds, *(partial(measure, system) for system in (new, old)))
            for name, figure, reference in zip(names, *figures, strict=True):
                yield Row(name, figure, "s", reference, _PINNED, aim)


def _builds(system: BenchSystem) -> tuple[float, float]:
    """Seconds from submit to closed, of a source RPM and from git."""
    session = system.session()
    return build_srpm(system, session), build(session, HELLO_GIT)


def _idle_row(new: BenchSystem, old: BenchSystem) -> Row:
    time.sleep(10)  # until the work that follows builds has ended
    before = [cpu_seconds(system, "koji") for system in (new, old)]
    time.sleep(_IDLE)
    used, reference = (
        cpu_seconds(system, "koji") - start
        for system, start in zip((new, old), before, strict=True)
    )
    return Row(f"CPU of the idle hub in {_IDLE} s", used, "s", reference, _PINNED, "ratio <= 2")
