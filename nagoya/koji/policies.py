"""The hub's policies from a seed: the hub's own parser checks them, and if the hub does not start
with them, the former ones are put back.

A policy is configuration of the hub, which Koji's API cannot change, and a wrong one keeps the hub
from starting.
"""

import io
import json
import tarfile
from collections.abc import Iterable, Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from nagoya.config.values import StrictModel
from nagoya.engine import Handle, containers, transfer
from nagoya.engine.exec import execute
from nagoya.errors import LifecycleError, NagoyaError
from nagoya.system import plan
from nagoya.system.readiness import wait
from nagoya.system.system import System, require_system

POLICY_FILE = "/etc/koji-hub/hub.conf.d/50-seed.conf"
CHECK_LABEL = "nagoya.check-policies"
"""On the hub's image: a command, as a JSON list, that reads a file of hub.conf.d on its stdin. It
ends with 0, or with 1 and one problem a line on its stdout."""

_CHECK_SECONDS, _START_SECONDS = 30, 120
_FORMER_FILE = f"{POLICY_FILE}.former"
"""Those before, while the hub has not started with the new ones: it reads *.conf alone."""


def _rule(text: str) -> str:
    if not text.strip() or "\n" in text.strip():
        raise ValueError("is not one line such as 'has_perm admin :: allow'")
    return text.strip()


class Policy(StrictModel):
    """A seed's document: one of the hub's policies, by its rules (`test arguments :: action`)."""

    type: Literal["policy"]
    name: Annotated[str, Field(pattern=r"^\w+$")]
    rules: Annotated[tuple[Annotated[str, AfterValidator(_rule)], ...], Field(min_length=1)]


def render(policies: Iterable[Policy]) -> str:
    """The file in hub.conf.d for some policies."""
    lines = ["# Written by `toji seed`.", "[policy]"]
    for policy in policies:
        lines.append(f"{policy.name} =")
        lines += [f"    {rule}" for rule in policy.rules]
    return "\n".join([*lines, ""])


def apply_policies(system: System, hub: str, policies: Mapping[int, Policy], source: str) -> bool:
    """Give the hub these policies in place of those of an earlier seed; False if it has them.

    `policies` are by the numbers of their documents in `source`, for messages. The hub is
    restarted. Raises LifecycleError if the hub's parser refuses a policy, and if the hub does not
    start with them: then it has the former policies again.
    """
    handle = require_system(system.engine, system.name)[hub]
    if not containers.state(handle).running:
        raise LifecycleError(
            f"the hub of '{system.name}' is not running", f"toji --system {system.name} start"
        )
    content = render(policies.values())
    with system.lock():
        former, untried = _read(handle, _FORMER_FILE), True
        if former is None:
            former, untried = _read(handle, POLICY_FILE) or render([]), False
        if former == content and not untried:
            return False
        _check(handle, policies, source)
        _write(handle, _FORMER_FILE, former)
        _write(handle, POLICY_FILE, content)
        try:
            _restart(system, hub)
        except NagoyaError as error:
            _write(handle, POLICY_FILE, former)
            _restart(system, hub)
            execute(handle, ["rm", _FORMER_FILE], seconds=_CHECK_SECONDS)
            names = ", ".join(policy.name for policy in policies.values())
            raise LifecycleError(
                f"the hub did not start with the policies of {source} ({names}): {error.message}",
                "the former policies were put back; correct the seed and apply it again",
            ) from error
        execute(handle, ["rm", _FORMER_FILE], seconds=_CHECK_SECONDS)
    return True


def _read(handle: Handle, path: str) -> str | None:
    status, text = execute(handle, ["cat", path], seconds=_CHECK_SECONDS)
    return None if status else text


def _check(handle: Handle, policies: Mapping[int, Policy], source: str) -> None:
    command = containers.label(handle, CHECK_LABEL)
    if command is None:
        return
    problems = []
    for number, policy in policies.items():
        status, output = execute(
            handle, json.loads(command), seconds=_CHECK_SECONDS, input=render([policy]).encode()
        )
        if status:
            lines = output.strip().splitlines() or [f"the check ended with status {status}"]
            problems += [f"  document {number}: {line}" for line in lines]
    if problems:
        raise LifecycleError(
            "\n".join([f"{source}: the hub refuses its policies:", *problems]),
            "nothing was changed; correct the rules and apply the seed again",
        )


def _write(handle: Handle, path: str, content: str) -> None:
    folder, _, name = path.rpartition("/")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        member = tarfile.TarInfo(name)
        member.size, member.mode = len(content.encode()), 0o644
        archive.addfile(member, io.BytesIO(content.encode()))
    transfer.write_files(handle, folder, packed.getvalue())


def _restart(system: System, hub: str) -> None:
    system.apply(plan.restart(system.declaration, system.observe(), [hub]))
    wait(system, _START_SECONDS, only=[hub])
