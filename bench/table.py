"""The table that a run prints."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Row:
    """One measurement, as a median of several; `reference` is what it is measured against."""

    what: str
    value: float
    unit: str
    reference: float | None = None
    against: str = ""
    aim: str = ""

    def cells(self) -> tuple[str, ...]:
        ratio = f"{self.value / self.reference:.2f}" if self.reference else ""
        reference = f"{self.reference:.1f}" if self.reference else ""
        return self.what, f"{self.value:.1f}", self.unit, reference, ratio, self.against, self.aim


def show(rows: Sequence[Row], measured: str) -> None:
    """Print the rows on stdout; `measured` is the heading of their values."""
    table = Table("what", box=None, pad_edge=False)
    table.add_column(measured, justify="right")
    table.add_column()
    table.add_column("reference", justify="right")
    table.add_column("ratio", justify="right")
    table.add_column("the reference is")
    table.add_column("aim")
    for row in rows:
        table.add_row(*row.cells())
    Console(width=160).print(table)


def side_by_side(rounds: int, *measured: Callable[[], Sequence[float]]) -> list[list[float]]:
    """The medians of what each function measures, taken in turns so that noise hits all alike."""
    taken: list[list[Sequence[float]]] = [[] for _ in measured]
    for _ in range(rounds):
        for results, measure in zip(taken, measured, strict=True):
            results.append(measure())
    return [
        [statistics.median(column) for column in zip(*results, strict=True)] for results in taken
    ]
