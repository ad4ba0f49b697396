"""`python -m bench [ROUNDS | quick]`: measure; progress on stderr, then the table on stdout.

ROUNDS is how often each figure is taken (3); its median counts. `quick` takes the figures that a
change is most likely to move, once each, in about two minutes.
"""

import sys
from collections.abc import Iterator

from bench.builds import build_rows, fleet_rows
from bench.hub import hub_rows
from bench.images import build_image_rows, size_rows
from bench.instances import instance_rows, reset_rows
from bench.memory import building_rows, idle_rows
from bench.startup import startup_rows
from bench.systems import ready_system
from bench.table import Row, show


def main() -> None:
    """Measure and print."""
    argument = sys.argv[1] if len(sys.argv) > 1 else "3"
    rows = []
    for row in quick_rows() if argument == "quick" else all_rows(int(argument)):
        print("  ".join(cell for cell in row.cells() if cell), file=sys.stderr, flush=True)
        rows.append(row)
    show(rows)


def quick_rows() -> Iterator[Row]:
    """Start-up, a build, a reset, the hub's calls; each once."""
    yield from startup_rows(1)
    with ready_system() as system:
        system.toji("verify")
        yield from build_rows(system, 1)
        yield from reset_rows(system, 1)
        yield from hub_rows(system, 1, seconds=1)


def all_rows(rounds: int) -> Iterator[Row]:
    """Everything, each `rounds` times."""
    yield from size_rows()
    yield from startup_rows(rounds)
    with ready_system() as system:
        yield from idle_rows(system)
        system.toji("verify")
        yield from build_rows(system, rounds)
        yield from building_rows(system)
        yield from reset_rows(system, rounds)
        yield from hub_rows(system, rounds)
        yield from fleet_rows(system)
    yield from instance_rows(rounds)
    yield from build_image_rows()


if __name__ == "__main__":
    main()
