"""Showing work in progress on stderr: one line a name on a terminal, plain lines elsewhere."""

import sys
import threading
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self, TextIO

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from nagoya.schedule import Outcome

_SIGNS = {"done": ("✔", "green"), "failed": ("✘", "red"), "skipped": ("-", "yellow")}


@dataclass
class _Row:
    text: str = "waiting"
    last_line: str = ""
    begun: float | None = None
    ended: float | None = None
    outcome: str | None = None
    spinner: Spinner = field(default_factory=lambda: Spinner("dots", style="cyan"))


class Board:
    """What is being done, name by name; any thread may tell it.

    On a terminal each name keeps one line: a sign, its state, seconds. Elsewhere every change is a
    line of its own: seconds since the board was made, name, state. `quiet` shows nothing,
    `verbose` also what the work itself prints, line by line.
    """

    def __init__(
        self, *, quiet: bool = False, verbose: bool = False, stream: TextIO | None = None
    ) -> None:
        self._quiet = quiet
        self._verbose = verbose
        self._console = Console(file=stream or sys.stderr, highlight=False)
        self._rows: dict[str, _Row] = {}
        self._lock = threading.Lock()
        self._made = time.monotonic()
        self._live: Live | None = None
        if self._console.is_terminal and not self._console.is_dumb_terminal and not quiet:
            self._live = Live(
                console=self._console,
                get_renderable=self._table,
                # What goes to a piped stdout is not ours to send to the terminal.
                redirect_stdout=sys.stdout.isatty(),
            )

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def expect(self, *names: str) -> None:
        """Give names a line each, in this order, before anything is done for them."""
        with self._lock:
            for name in names:
                self._rows.setdefault(name, _Row())

    def update(self, name: str, state: str, detail: str = "") -> None:
        """Tell what a name is at: a word such as `building`, and a few more that are shown for it
        where there are any, as `Step 3/9 : RUN make`."""
        with self._lock:
            row = self._rows.setdefault(name, _Row())
            row.begun = row.begun or time.monotonic()
        self._change(name, row, _plain(detail or state))

    def line(self, name: str, text: str) -> None:
        """Pass on a line that the work printed: shown in full if verbose, else as its last word."""
        plain = _plain(text)
        if self._verbose:
            self.say(self._named(name, plain))
        elif plain and name in self._rows:
            self._rows[name].last_line = plain

    def settle(self, outcome: Outcome) -> None:
        """Tell how a name ended; made to be `carry_out(..., settled=board.settle)`."""
        with self._lock:
            row = self._rows.setdefault(outcome.name, _Row())
        text = row.text
        if outcome.state == "failed":
            text = f"failed: {_plain(str(outcome.error))}"
        elif outcome.state == "skipped":
            text = f"skipped, for {outcome.because} failed"
        elif row.begun is None:
            text = "done"
        row.ended, row.outcome = time.monotonic(), outcome.state
        self._change(outcome.name, row, text)

    def say(self, text: str) -> None:
        """A line that is about no name, left standing above the others."""
        # Never with the lock held: a live display prints with its own lock held, and asks for ours.
        if self._quiet:
            return
        if self._live is None:
            text = f"[{time.monotonic() - self._made:5.1f} s] {text}"
        self._console.print(Text(text.rstrip()), soft_wrap=True)

    def _change(self, name: str, row: _Row, text: str) -> None:
        changed = text != row.text
        row.text, row.last_line = text, ""
        if changed and self._live is None:
            self.say(self._named(name, text))

    def _named(self, name: str, text: str) -> str:
        with self._lock:
            width = max((len(name) for name in self._rows), default=0)
        return f"{name:{width}}  {text}"

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 1), expand=True)
        table.add_column(no_wrap=True)
        table.add_column(no_wrap=True)
        table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        table.add_column(no_wrap=True, justify="right")
        now = time.monotonic()
        with self._lock:
            for name, row in self._rows.items():
                sign, style = _SIGNS.get(row.outcome or "", ("·", "dim" if not row.begun else ""))
                working = row.begun and not row.outcome
                text = Text(row.text)
                if row.last_line:
                    text.append(f"  {row.last_line}", style="dim")
                table.add_row(
                    row.spinner if working else Text(sign, style),
                    Text(name, "cyan" if working else style),
                    text,
                    Text(f"{(row.ended or now) - row.begun:.1f} s" if row.begun else "", "dim"),
                )
        return table


def _plain(text: str) -> str:
    """The first line, without colours or cursor movements, as programs in a build may print."""
    first = text.strip().partition("\n")[0]
    return Text.from_ansi(first.rpartition("\r")[2]).plain
