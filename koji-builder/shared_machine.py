"""A plugin of kojid's: the machine's load average does not keep a builder from its work.

kojid takes no task while the load average is over four a processor. In a container that figure is
the whole machine's: ten builders side by side, or somebody's compiler next door, and all of them
idle without a word. What a builder takes on is bounded by its capacity and its maxjobs all the
same. Listed in kojid.conf as `plugins = shared_machine`, and left out by KOJI_BUILDER_PLUGINS.
"""

import os
import sys


def idle() -> tuple[float, float, float]:
    """A load average that stands against nothing."""
    return (0.0, 0.0, 0.0)


if hasattr(sys.modules["__main__"], "WaitrepoTask"):
    os.getloadavg = idle
