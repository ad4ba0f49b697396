"""Tasks on a hub: waiting for one, the tasks below it, their logs, and why one failed."""

import re
import time
from collections.abc import Callable, Iterator
from typing import Any

from nagoya.errors import LifecycleError, NotReady
from nagoya.koji.hub import koji_module

_PAUSE = 0.5
# Bytes of a file in one answer of the hub.
_PART = 16 * 1024**2


def wait_for_task(
    session: Any, task: int, seconds: float, on_progress: Callable[[str], None] = lambda text: None
) -> dict[str, Any]:
    """Wait until a task has ended, well or not; its record, as `getTaskInfo` returns it.

    `on_progress` gets the task that is running below it, at each poll. Raises NotReady after
    `seconds`, and LifecycleError if there is no such task (any more).
    """
    states = koji_module().TASK_STATES
    ended = {states[state] for state in ("CLOSED", "CANCELED", "FAILED")}
    deadline = time.monotonic() + seconds
    while True:
        info = task_info(session, task)
        if info["state"] in ended:
            return info
        if time.monotonic() > deadline:
            raise NotReady(
                f"task {task} ({info['method']}) is still {states[info['state']]} "
                f"after {seconds:.0f} s",
                "`toji status` and `toji logs` show whether builders are running",
            )
        running = [
            f"{info['method']} (task {info['id']})"
            for info in task_tree(session, task)
            if info["state"] == states["OPEN"]
        ]
        on_progress(running[-1] if running else "queued")
        time.sleep(_PAUSE)


def task_info(session: Any, task: int) -> dict[str, Any]:
    """A task's record with its request. Raises LifecycleError if the hub has no such task."""
    info: dict[str, Any] | None = session.getTaskInfo(task, request=True)
    if info is None:
        raise LifecycleError(
            f"there is no task {task} on the hub",
            "`koji list-tasks --all` lists them; a reset removes those younger than its snapshot",
        )
    return info


def task_tree(session: Any, task: int) -> Iterator[dict[str, Any]]:
    """The records of a task and of all tasks below it, each after its parent. Raises
    LifecycleError if the hub has no such task."""
    yield task_info(session, task)
    for children in session.getTaskDescendents(task).values():
        yield from children


def task_logs(session: Any, task: int) -> Iterator[tuple[str, bytes]]:
    """The logs of one task, not of those below it: file name and content."""
    for name in sorted(session.listTaskOutput(task)):
        if name.endswith(".log"):
            yield name, task_file(session, task, name)


def task_file(session: Any, task: int, name: str) -> bytes:
    """A file that a task has left, in parts, since the hub does not answer with a long one."""
    parts: list[bytes] = []
    while not parts or len(parts[-1]) == _PART:
        offset = len(parts) * _PART
        parts.append(session.downloadTaskOutput(task, name, offset=offset, size=_PART))
    return b"".join(parts)


def failure_text(session: Any, task: int, lines: int = 20) -> str:
    """Why a task failed: for each failed task at the bottom of its tree the error, and the last
    `lines` of each log that the error names, or of all its logs where it names none."""
    failed = koji_module().TASK_STATES["FAILED"]
    tasks = [info for info in task_tree(session, task) if info["state"] == failed]
    parents = {info["parent"] for info in tasks}
    parts = []
    for info in tasks:
        if info["id"] in parents:
            continue
        result = session.getTaskResult(info["id"], raise_fault=False)
        error = str(result.get("faultString", "") if isinstance(result, dict) else result).strip()
        parts.append(f"task {info['id']} ({info['method']} {info['arch']}): {error}")
        logs = dict(task_logs(session, info["id"]))
        named = [name for name in re.findall(r"[\w.-]+\.log", error) if name in logs]
        for name in named or logs:
            parts.append(f"==> {name} <==")
            parts += logs[name].decode(errors="replace").splitlines()[-lines:]
    return "\n".join(parts)
