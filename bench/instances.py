"""Many systems, and many tests on one: side by side, reset, populated, and through the fixtures."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.systems import BenchSystem, ready_system, run
from bench.table import Row, side_by_side

_TOGETHER = 4
_TESTS = 5
_POPULATED = "nagoya-demo"


def reset_rows(system: BenchSystem, rounds: int) -> Iterator[Row]:
    """A reset of a system that `toji verify` has passed on, beside a new one."""
    system.toji("snapshot", "create", "verified")
    (pristine, verified), (new,) = side_by_side(rounds, lambda: reset(system), _init)
    against = "toji up"
    yield Row("toji reset to pristine, after two builds", pristine, "s", new, against, "<= 3 s")
    yield Row("toji reset to a state with these builds", verified, "s", new, against, "<= 3 s")


def instance_rows(rounds: int) -> Iterator[Row]:
    """A populated start, four at once and the fixtures, each beside a plain start."""
    run("moromi", "build", "--quiet", "demo")
    (populated,), (blank,) = side_by_side(rounds, lambda: _init("-c", _POPULATED), _init)
    yield Row("a populated start", populated, "s", blank, "a blank one", "ratio <= 1.2")
    (four,), (single,) = side_by_side(rounds, lambda: _together(_TOGETHER), lambda: _together(1))
    yield Row(f"{_TOGETHER} systems at once", four, "s", single, "one", "ratio <= 2.5")
    (shared,), (pristine,), (own,) = side_by_side(
        rounds, *(lambda name=name: _per_test(name) for name in _FIXTURES)
    )
    against = "a Koji for each (fresh_koji)"
    yield Row("a further test on running_koji", shared, "s", own, against)
    yield Row("a further test on pristine_koji, reset", pristine, "s", own, against)


_FIXTURES = ("running_koji", "pristine_koji", "fresh_koji")


def _init(*options: str) -> tuple[float]:
    start = time.monotonic()
    with ready_system(*options):
        return (time.monotonic() - start,)


def reset(system: BenchSystem) -> tuple[float, float]:
    """Seconds to the pristine state, and to the one called `verified`."""
    start = time.monotonic()
    system.toji("reset")
    pristine = time.monotonic()
    system.toji("reset", "verified")
    return pristine - start, time.monotonic() - pristine


# None is removed before all are ready.
_ONE_OF_MANY = """
import sys, time
from bench.systems import ready_system
start = time.monotonic()
with ready_system():
    print(time.monotonic() - start, flush=True)
    sys.stdin.read()
"""


def _together(count: int) -> tuple[float]:
    """Seconds until all of `count` systems are ready that start at once, each in its own
    process."""
    command = [sys.executable, "-c", _ONE_OF_MANY]
    running = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(count)
    ]
    ready = [float(process.stdout.readline()) for process in running if process.stdout]
    for process in running:
        process.communicate()
    return (max(ready),)


# Each test notes the time when it ends, so that the difference to the next is what that one took.
_TEST = """
import pathlib, pytest, time
@pytest.mark.parametrize('number', range({count}))
def test_it({fixture}, number):
    assert {fixture}.session().getLoggedInUser()['name'] == 'kojiadmin'
    with pathlib.Path('done').open('a') as done:
        print(time.monotonic(), file=done)
"""


def _per_test(fixture: str) -> tuple[float]:
    """Seconds for each further test that uses this fixture and makes one call to the hub."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "test_it.py").write_text(_TEST.format(fixture=fixture, count=1 + _TESTS))
        pytest = [sys.executable, "-m", "pytest", "--quiet", "--no-header"]
        subprocess.run(pytest, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        done = [float(line) for line in (folder / "done").read_text().split()]
    return ((done[-1] - done[0]) / _TESTS,)
