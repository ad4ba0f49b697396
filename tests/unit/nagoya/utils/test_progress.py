"""The progress: plain lines where there is no terminal, one line a name where there is."""

import io
import re
import threading

import pytest
from rich.console import Console

from nagoya.errors import NagoyaError
from nagoya.utils.parallel import Result
from nagoya.utils.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def lines(stream: io.StringIO) -> list[str]:
    return [re.sub(r"^\[ +\d+\.\d s\] ", "", line) for line in stream.getvalue().splitlines()]


def use(progress: Progress) -> None:
    with progress:
        progress.add("koji-base", "hub", "data")
        progress.update("koji-base", "working", "Step 1/9 : FROM debian")
        progress.output("koji-base", "\x1b[32mHit:1\x1b[0m [archive]\r")
        progress.update("koji-base", "working", "Step 1/9 : FROM debian")
        progress.finish(Result("koji-base", "done"))
        progress.update("hub", "working", "Step 1/2")
        progress.finish(Result("hub", "failed", error=NagoyaError("it broke\nand how")))
        progress.finish(Result("data", "skipped", blocked_by="hub"))
        progress.log("that was all")


def test_plain_lines() -> None:
    stream = io.StringIO()
    use(Progress(stream=stream))
    assert re.match(r"\[  0\.\d s\] koji-base  Step 1/9", stream.getvalue())
    assert lines(stream) == [
        "koji-base  Step 1/9 : FROM debian",
        "koji-base  done",
        "hub        Step 1/2",
        "hub        failed: it broke",
        "data       skipped: hub failed",
        "that was all",
    ]


def test_verbose_passes_on_what_the_work_prints() -> None:
    stream = io.StringIO()
    use(Progress(stream=stream, verbose=True))
    assert lines(stream)[1] == "koji-base  Hit:1 [archive]"


def test_quiet_says_nothing() -> None:
    for stream in (io.StringIO(), Terminal()):
        use(Progress(stream=stream, quiet=True, verbose=True))
        assert stream.getvalue() == ""


def test_long_lines_are_not_broken() -> None:
    stream = io.StringIO()
    with Progress(stream=stream) as progress:
        progress.update("hub", "working", "x" * 500)
    assert lines(stream) == ["hub  " + "x" * 500]


def test_a_terminal_ends_with_one_line_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = Terminal()
    use(Progress(stream=stream))
    output = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", stream.getvalue())
    last = [line.rstrip() for line in output.splitlines()[-3:]]
    assert re.fullmatch(
        r"✔ koji-base Step 1/9 : FROM debian +0\.\d s|✔ koji-base done +0\.\d s", last[0]
    )
    assert re.fullmatch(r"✘ hub       failed: it broke +0\.\d s", last[1])
    assert last[2] == "- data      skipped: hub failed"
    assert "that was all" in output


def test_many_threads_may_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    """A live display asks for the rows with its own lock held; nobody may wait for another."""
    monkeypatch.setenv("TERM", "xterm")
    progress = Progress(stream=Terminal(), verbose=True)

    def tell(name: str) -> None:
        for number in range(100):
            progress.update(name, "working", str(number))
            progress.output(name, "x")

    with progress:
        threads = [threading.Thread(target=tell, args=(str(n),), daemon=True) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(300)
            assert not thread.is_alive()


def test_a_reader_who_went_away_stops_nothing() -> None:
    class Broken(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    use(Progress(stream=Broken()))


def shown(progress: Progress, stream: Terminal) -> list[str]:
    """The rows as they stand, without colours."""
    console = Console(file=io.StringIO(), width=progress._console.width)
    console.print(progress._table())
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_no_row_goes_on_spinning_after_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    with Progress(stream=stream) as progress:
        progress.add("hub", "builder", "never")
        progress.update("hub", "done", "ready")
        progress.update("hub", "working", "looking")
        progress.update("builder", "working", "looking")
    rows = [re.sub(r" +\d+\.\d s$", "", row) for row in shown(progress, stream)]
    assert rows == ["✔ hub     ready", "- builder not finished: looking", "· never   waiting"]


def test_a_narrow_terminal_shows_the_step_and_its_last_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    stream = Terminal()
    progress = Progress(stream=stream)
    progress.update("hub", "working", "6/30 : RUN apt-get update && apt-get install -y python3 dnf")
    progress.output("hub", "Unpacking python3-cheetah (3.2.6) ...")
    (row,) = shown(progress, stream)
    assert "6/30 : RUN apt-get" in row
    assert "Unpacking python3-cheetah" in row
