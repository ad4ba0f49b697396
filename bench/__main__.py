"""`python -m bench [ROUNDS]`: measure everything; progress on stderr, then the table."""

import sys

from bench import builds, images, instances, startup
from bench.table import Row, show


def main() -> None:
    """Measure and print; ROUNDS is how often each is repeated (3)."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    rows: list[Row] = []
    for measure in (
        images.sizes(),
        startup.rows(rounds),
        instances.rows(rounds),
        builds.rows(rounds),
        images.builds(),
    ):
        for row in measure:
            print("  ".join(cell for cell in row.cells() if cell), file=sys.stderr, flush=True)
            rows.append(row)
    show(rows)


if __name__ == "__main__":
    main()
