"""Runs koji-gc and koji-sweep-db, so that a system that runs for years does not fill up.

koji-gc puts builds that have had no tag for five days, and that no other build was made with, into
the tag `trashcan`, and deletes them when they have been there for four weeks. It untags nothing,
unless the site's files have a policy for that. koji-sweep-db deletes sessions that nobody has used
for a day, and what else the site's files say.

The hub runs it once a day, and this command at once:

    toji exec koji python3 /usr/lib/nagoya/housekeeping.py
"""

import configparser
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from util import entry

GC_CONFIGURATION = Path("etc/koji-gc/koji-gc.conf")
SWEEP_CONFIGURATION = Path("etc/koji-sweep-db/koji-sweep-db.conf")


def gc_options(hub: str, credentials: str) -> dict[str, dict[str, str]]:
    """The contents of koji-gc.conf, without Koji's defaults."""
    return {
        "main": {
            "server": hub,
            "serverca": f"{credentials}/koji_ca_cert.crt",
            "cert": f"{credentials}/kojiadmin.pem",
            "trashcan_tag": "trashcan",
            "delay": "5 days",
            "grace_period": "4 weeks",
            "mail": "False",
            "lock_file": "/run/koji-hub/koji-gc.lock",
            "exit_on_lock": "True",
        }
    }


def sweep_options() -> dict[str, dict[str, str]]:
    """The contents of koji-sweep-db.conf, which is ours: koji-sweep-db has arguments only."""
    return {"sweep-db": {"sessions-age": "1", "reservations-age": "1"}}


def sweep_arguments(options: Mapping[str, str]) -> list[str]:
    """The arguments of koji-sweep-db. An option that takes no value is `true` or `false`."""
    arguments = ["--verbose"]
    for name, value in options.items():
        if value.lower() != "false":
            arguments.append(f"--{name}" if value.lower() == "true" else f"--{name}={value}")
    return arguments


def make_tag(session: Any, name: str) -> None:
    """Make the tag that koji-gc needs."""
    if session.getTag(name) is None:
        session.createTag(name)
        entry.log(f"made the tag {name} for koji-gc")


def read(path: Path) -> configparser.RawConfigParser:
    """A file that entrypoint.py has written."""
    configuration = configparser.RawConfigParser()
    configuration.read(path)
    return configuration


def clean(root: Path) -> bool:
    """Run both; whether both ended well. Raises what a call of the hub raises."""
    from registrar import Registrar  # noqa: PLC0415 - all of Koji comes with it

    session = Registrar(root).login()
    make_tag(session, read(root / GC_CONFIGURATION)["main"]["trashcan_tag"])
    session.logout()
    gc = [f"--config-file={root / GC_CONFIGURATION}"]
    sweep = sweep_arguments(dict(read(root / SWEEP_CONFIGURATION)["sweep-db"]))
    # The key of the database is www-data's, kojiadmin's is root's.
    ended = [
        subprocess.run(["/usr/sbin/koji-gc", *gc], check=False),
        subprocess.run(
            ["/usr/sbin/koji-sweep-db", *sweep], check=False, user="www-data", group="www-data"
        ),
    ]
    for program in ended:
        if program.returncode:
            entry.log(f"{program.args[0]} ended with status {program.returncode}")
    return not any(program.returncode for program in ended)


def main() -> int:
    """Clean now."""
    return 0 if clean(Path("/")) else 1


if __name__ == "__main__":
    sys.exit(entry.run("koji-hub: housekeeping", main))
