"""The command of toji that looks at the machine."""

import sys
from dataclasses import asdict, replace

from nagoya.cli.common import Settings, command, json_option, print_json
from nagoya.errors import EngineError, NagoyaError
from nagoya.system.doctor import Check, examine_engine, examine_machine
from nagoya.system.machine import engine_facts, gather

_LINE = " {:<15}  {:<7}  {}"


@json_option
@command
def doctor(settings: Settings, as_json: bool) -> None:
    """Check this machine and its engine.

    Each line is something that a Koji needs, with what to do if it is missing. Nothing is changed.
    Reads the file that -c names, else moromi.yml in this folder, else Nagoya's own.
    Exits with status 1 if something prevents a Koji; a warning does not.

    \b
      toji doctor
      toji doctor --json
    """
    facts = gather()
    checks = examine_machine(facts)
    if not as_json:
        print(_LINE.format("check", "state", "finding"))
        _print(*checks)
    try:
        engine = engine_facts(settings.engine, settings.declaration, settings.system)
        facts = replace(facts, engine=engine)
    except EngineError as error:
        facts = replace(facts, problem=error)
    checks += (rest := examine_engine(facts, settings.declaration))
    failed = [check.name for check in checks if check.state == "error"]
    if as_json:
        print_json(ok=not failed, checks=[asdict(check) for check in checks])
    else:
        _print(*rest)
        hints = [f"{check.name}: {check.hint}" for check in checks if check.hint]
        for line in ["", *hints] if hints else []:
            print(line)
    if failed:
        sys.exit(NagoyaError.exit_code)


def _print(*checks: Check) -> None:
    """Print lines of one table, as soon as they are known."""
    for check in checks:
        finding = check.finding.replace("\n", "\n" + _LINE.format("", "", ""))
        print(_LINE.format(check.name, check.state, finding), flush=True)
