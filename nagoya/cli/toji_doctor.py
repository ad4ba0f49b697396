"""The command of toji that looks at the machine."""

import sys
from dataclasses import asdict

from rich.console import Group
from rich.text import Text

from nagoya.cli.common import Settings, command, json_option, new_table, print_json, print_table
from nagoya.engine import Engine
from nagoya.errors import EngineError, NagoyaError
from nagoya.system.doctor import examine
from nagoya.system.machine import gather


@json_option
@command
def doctor(settings: Settings, as_json: bool) -> None:
    """Look at this machine and its engine, before anything is built.

    Each line is something that a Koji needs, with what to do if it is missing. Nothing is changed.
    Exits with status 1 if something prevents a Koji; a warning does not.

    \b
      toji doctor
      toji doctor --json
    """
    engine: Engine | EngineError
    try:
        engine = settings.engine
    except EngineError as error:
        engine = error
    checks = examine(gather(engine, settings.declaration, settings.system), settings.declaration)
    failed = [check.name for check in checks if check.state == "error"]
    if as_json:
        print_json(ok=not failed, checks=[asdict(check) for check in checks])
    else:
        table = new_table("check", "state", "found")
        for check in checks:
            table.add_row(check.name, check.state, check.found)
        hints = [f"{check.name}: {check.hint}" for check in checks if check.hint]
        print_table(Group(table, *(Text(line, overflow="fold") for line in ["", *hints] if hints)))
    if failed:
        sys.exit(NagoyaError.exit_code)
