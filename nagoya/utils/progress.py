"""Show work in progress on stderr: one row per name on a terminal, plain lines elsewhere."""

import sys
import threading
import time
from dataclasses import dataclass, field
from typing import Literal, Self, TextIO

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from nagoya.utils.parallel import Result

State = Literal["waiting", "working", "done", "failed", "skipped"]

_SIGNS: dict[State, tuple[str, str]] = {
    "waiting": ("·", "dim"),
    "done": ("✔", "green"),
    "failed": ("✘", "red"),
    "skipped": ("-", "yellow"),
}


@dataclass
class _Row:
    """`finished` holds state and text when the name was last done, failed or skipped."""

    state: State = "waiting"
    text: str = "waiting"
    last_line: str = ""
    started_at: float | None = None
    ended_at: float | None = None
    spinner: Spinner = field(default_factory=lambda: Spinner("dots", style="cyan"))
    finished: tuple[State, str] | None = None


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Go on silently if the reader is gone; rich would end the program."""
        self.quiet = True


class Progress:
    """The state of named tasks; any thread may update it.

    On a terminal each name keeps one row: a sign, its state, its last line of output, seconds.
    Elsewhere every change but to waiting is a line: seconds since the start, name, state. `quiet`
    shows nothing, `verbose` also all output of the tasks.
    """

    def __init__(
        self, *, quiet: bool = False, verbose: bool = False, stream: TextIO | None = None
    ) -> None:
        self._quiet = quiet
        self._verbose = verbose
        self._console = _Console(file=stream or sys.stderr, highlight=False)
        self._rows: dict[str, _Row] = {}
        self._lock = threading.Lock()
        self._started_at = time.monotonic()
        self._live: Live | None = None
        if self._console.is_terminal and not self._console.is_dumb_terminal and not quiet:
            self._live = Live(
                console=self._console,
                get_renderable=self._table,
                # What goes to a piped stdout must not be sent to the terminal.
                redirect_stdout=sys.stdout.isatty(),
            )

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        with self._lock:
            for row in self._rows.values():
                if row.state == "working":
                    row.state, row.text = row.finished or ("skipped", f"not finished: {row.text}")
                    row.ended_at = row.ended_at or time.monotonic()
        if self._live is not None:
            self._live.stop()

    def add(self, *names: str) -> None:
        """Show names as waiting, in this order, before they are worked on."""
        with self._lock:
            for name in names:
                self._rows.setdefault(name, _Row())

    def update(self, name: str, state: State, detail: str = "") -> None:
        """Set the state of a name; `detail` is a few words, such as `3/9 : RUN make`."""
        now = time.monotonic()
        text = _plain(detail) or state
        if detail and state in ("failed", "skipped"):
            text = f"{state}: {text}"
        with self._lock:
            row = self._rows.setdefault(name, _Row())
            changed = (row.state, row.text) != (state, text)
            row.state, row.text, row.last_line = state, text, ""
            if state == "working":
                row.started_at, row.ended_at = row.started_at or now, None
            elif state != "waiting":
                row.ended_at, row.finished = row.ended_at or now, (state, text)
        if changed and self._live is None and state != "waiting":
            self.log(self._named(name, text))

    def output(self, name: str, text: str) -> None:
        """Show a line of a task's output: in full if verbose, else until the next one comes."""
        plain = _plain(text)
        if self._verbose:
            self.log(self._named(name, plain))
        elif plain and name in self._rows:
            self._rows[name].last_line = plain

    def finish(self, result: Result) -> None:
        """Show how a task ended; made to be `run_graph(..., on_done=progress.finish)`."""
        match result.state:
            case "failed":
                self.update(result.name, "failed", str(result.error))
            case "skipped":
                self.update(result.name, "skipped", f"{result.blocked_by} failed")
            case _ if self._rows.get(result.name, _Row()).state != "done":
                self.update(result.name, "done")

    def log(self, text: str) -> None:
        """Print a line that stays, above the rows."""
        # Not with the lock held: the live display holds its own lock, and asks for this one.
        if self._quiet:
            return
        if self._live is None:
            text = f"[{time.monotonic() - self._started_at:5.1f} s] {text}"
        self._console.print(Text(text.rstrip()), soft_wrap=True)

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
            width = self._console.width - max((len(name) for name in self._rows), default=0) - 14
            for name, row in self._rows.items():
                sign, style = _SIGNS.get(row.state, ("", "cyan"))
                # The output is what moves, so it gets the larger part of a narrow terminal.
                text = Text(row.text)
                if row.last_line:
                    text.truncate(max(width * 2 // 5, 12), overflow="ellipsis")
                    text.append(f"  {row.last_line}", style="dim")
                seconds = (row.ended_at or now) - row.started_at if row.started_at else None
                table.add_row(
                    row.spinner if row.state == "working" else Text(sign, style),
                    Text(name, style),
                    text,
                    Text("" if seconds is None else f"{seconds:.1f} s", "dim"),
                )
        return table


def _plain(text: str) -> str:
    """The first line, without the colours and cursor movements that programs print."""
    first = text.strip().partition("\n")[0]
    return Text.from_ansi(first.rpartition("\r")[2]).plain
