"""`python -m bench [ROUNDS | quick] [-c MOROMI_YML | -m MOROMI_YML]`: measure; progress on stderr,
then the table on stdout.

ROUNDS is how often each figure is taken (3); its median counts. `quick` takes the figures that a
change is most likely to move, once each, in about two minutes. With -c, the Koji of that file is
measured beside that of Nagoya's own moromi.yml; both have to be built. With -m, upstream's mock is
measured beside Nagoya's own, in the builder of that file, which has both.
"""

import argparse
import sys
from collections.abc import Iterator

from bench.builds import build_rows, fleet_rows
from bench.distribution import distribution_rows
from bench.hub import hub_rows
from bench.images import build_image_rows, size_rows
from bench.instances import instance_rows, reset_rows
from bench.memory import building_rows, idle_rows
from bench.mocks import mock_rows
from bench.repositories import repository_rows
from bench.startup import startup_rows
from bench.systems import ready_system
from bench.table import Row, show
from bench.transfers import transfer_rows
from bench.versions import declarations, version_rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="bench")
    parser.add_argument("rounds", nargs="?", default="3")
    parser.add_argument("-c", dest="config")
    parser.add_argument("-m", dest="mock")
    options = parser.parse_args()
    quick = options.rounds == "quick"
    rounds = 1 if quick else int(options.rounds)
    heading, measured = "Nagoya", quick_rows() if quick else all_rows(rounds)
    if options.config:
        other, pinned = declarations(options.config)
        heading, measured = other.tag, version_rows(other, pinned, rounds)
    if options.mock:
        heading, measured = "upstream's", mock_rows(options.mock, rounds)
    rows = []
    for row in measured:
        print("  ".join(cell for cell in row.cells() if cell), file=sys.stderr, flush=True)
        rows.append(row)
    show(rows, heading)


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
    with ready_system() as system:
        yield from distribution_rows(system, rounds)
    with ready_system() as system:
        yield from transfer_rows(system, rounds)
        yield from repository_rows(system, rounds)
    yield from instance_rows(rounds)
    yield from build_image_rows()


if __name__ == "__main__":
    main()
