"""How many calls the hub answers, beside Koji's stock configuration in the same container."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from bench.systems import BenchSystem
from bench.table import Row, side_by_side

_CONNECTIONS = (1, 8, 32)
_CALLS = ("getAPIVersion", "listTags", "listTasks")
_TAGS = 30
_STOCK = "/tmp/stock.conf"


def hub_rows(system: BenchSystem, rounds: int, seconds: float = 3) -> Iterator[Row]:
    """Calls a second and their 99th percentile, at several numbers of connections kept open."""
    session = system.session()
    for number in range(_TAGS):
        session.createTag(f"bench-{number}")
    address = json.loads(
        subprocess.run(
            ["docker", "inspect", f"{system.name}-koji", "--format",
             "{{json .NetworkSettings.Networks}}"],
            check=True, capture_output=True,
        ).stdout
    )[system.name]["IPAddress"]  # fmt: skip
    with _stock_apache(system):
        for call in _CALLS:
            for connections in _CONNECTIONS:
                load = partial(_load, call, connections, seconds)
                (calls, p99, failures), (stock_calls, stock_p99, stock_failures) = side_by_side(
                    rounds,
                    partial(load, f"https://{address}/kojihub"),
                    partial(load, f"https://{address}:8443/kojihub"),
                )
                what = f"{call}, {connections} connections"
                failed = f"stock Apache ({stock_failures:.0f} failed)"
                yield Row(what, calls, "calls/s", stock_calls, failed, "ratio >= 1")
                failed = f"stock Apache; {failures:.0f} failed here"
                yield Row(f"{what}, 99th percentile", p99, "ms", stock_p99, failed, "ratio <= 1")


@contextmanager
def _stock_apache(system: BenchSystem) -> Iterator[None]:
    """Apache with the stock configuration, on port 8443 of the hub's container."""
    text = Path(__file__).with_name("stock.conf").read_bytes()
    system.execute("koji", "tee", _STOCK, stdin=text)
    system.execute("koji", "apache2", "-f", _STOCK, "-k", "start")
    try:
        time.sleep(2)
        yield
    finally:
        system.execute("koji", "apache2", "-f", _STOCK, "-k", "stop")


def _load(call: str, connections: int, seconds: float, url: str) -> tuple[float, float, float]:
    """Calls a second, 99th percentile in ms, failures."""
    command = [sys.executable, "-m", "bench.load", url, call, str(connections), str(seconds)]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    result = json.loads(output)
    return result["calls"], result["p99"], result["failures"]
