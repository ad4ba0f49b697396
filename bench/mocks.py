"""Upstream's mock beside Nagoya's own, in one builder, on the same source RPMs."""

import time
from collections.abc import Iterator
from functools import partial

from bench.builds import write_mock_config
from bench.distribution import distribution_rows
from bench.systems import BenchSystem, ready_system
from bench.table import Row, side_by_side

# A plugin, for which builds go to upstream's, and which takes it no time.
_UPSTREAMS = """
config_opts['use_bootstrap'] = False
config_opts['plugin_conf']['package_state_enable'] = True
"""
_SRPMS = "/usr/share/nagoya/demo/srpms"
_CALLS = {
    "mock --init": "--init",
    "mock --chroot true": "--chroot -- true",
    "mock --rebuild, hello": f"--no-clean --rebuild {_SRPMS}/hello-1.0-1.src.rpm",
    "mock --rebuild, hello-c": f"--no-clean --rebuild {_SRPMS}/hello-c-1.0-1.src.rpm",
}


def mock_rows(config: str, rounds: int) -> Iterator[Row]:
    """What each call takes, of a system of `config`, whose builder has both."""
    with ready_system("-c", config) as system:
        system.toji("verify")
        write_mock_config(system, "ours")
        write_mock_config(system, "upstreams", _UPSTREAMS)
        for what, words in _CALLS.items():
            calls = [partial(_call, system, name, words) for name in ("upstreams", "ours")]
            (upstreams,), (own,) = side_by_side(rounds, *calls)
            yield Row(what, upstreams, "s", own, "Nagoya's own")
        yield from distribution_rows(system, rounds, config, ("ours", "upstreams"))


def _call(system: BenchSystem, name: str, words: str) -> tuple[float]:
    start = time.monotonic()
    command = f"mock -r koji/{name} {words}"
    system.execute("kojibuilder", "sh", "-c", command, user="kojibuilder")
    return (time.monotonic() - start,)
