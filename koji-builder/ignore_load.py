"""A plugin for kojid: the machine's load average no longer keeps a builder from taking tasks.

kojid takes no task while the load average exceeds four per processor. In a container that is the
load of the whole machine: ten builders on it, or another container's compiler, and all of them
stop. Capacity and maxjobs still limit the tasks of a builder.

On by default; KOJI_BUILDER_PLUGINS without `ignore_load` turns it off.
"""

import logging
import os
import sys


def no_load() -> tuple[float, float, float]:
    """The load average of an idle machine."""
    return (0.0, 0.0, 0.0)


def install(task_manager: type) -> None:
    """Replace os.getloadavg, if kojid's TaskManager decides by it; log which it is."""
    logger = logging.getLogger("koji.ignore_load")
    if "getloadavg" in task_manager.readyForTask.__code__.co_names:
        os.getloadavg = no_load
        logger.info("ignoring the load average")
    else:
        logger.warning("TaskManager.readyForTask reads no load average here: nothing to do")


if hasattr(sys.modules["__main__"], "TaskManager"):
    install(sys.modules["__main__"].TaskManager)
