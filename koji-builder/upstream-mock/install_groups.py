"""A plugin for upstream's mock: groups are installed by a command that dnf5 has too.

kojid before Koji 1.35 asks for `groupinstall build`, which dnf5 does not know. `install @build`,
what newer ones ask for, does the same with every dnf.
"""

from typing import Any

requires_api_version = "1.1"

COMMAND = "chroot_setup_cmd"


def init(plugins: Any, conf: Any, buildroot: Any) -> None:
    """Called by mock for each chroot."""
    command = buildroot.config[COMMAND]
    words = command.split() if isinstance(command, str) else command
    if words[:1] == ["groupinstall"]:
        buildroot.config[COMMAND] = " ".join(["install", *(f"@{group}" for group in words[1:])])
