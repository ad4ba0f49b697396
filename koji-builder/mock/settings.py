"""A buildroot's configuration: the Python that kojid writes to /etc/mock/koji, read as its user.

The file is code that changes `config_opts`. It is run by a child that has become the unprivileged
caller for good, and only what can be said in JSON comes back, so that nothing of it ever runs as
root. What it says is obeyed by root all the same (which directories to bind, for one): hence only
a file of root's counts, beneath /etc/mock, that nobody else can write.
"""

import json
import os
import platform
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import kernel
from ending import Failed, Status

CONFIGURATIONS = Path("/etc/mock")
SAFE_NAME = re.compile(r"[A-Za-z0-9_+~.-]*[A-Za-z0-9_+~-][A-Za-z0-9_+~.-]*")  # so neither . nor ..

# What a machine runs besides itself, in the names that RPM has for them. All of these are 32 bits
# wide and want the personality that goes with it.
NARROW = {
    "x86_64": ("i386", "i486", "i586", "i686", "athlon"),
    "aarch64": ("armv7l", "armv7hl"),
    "ppc64": ("ppc",),
    "s390x": ("s390",),
}


@dataclass(frozen=True)
class Account:
    """Who called: the user that the driver is when it need not be root, in the group mock."""

    uid: int
    gid: int


@dataclass(frozen=True)
class Settings:
    """What a buildroot's configuration says, checked. Paths are the builder's, but for `home`."""

    root: str
    basedir: Path
    architecture: str
    home: str
    setup: tuple[str, ...]
    networking: bool
    host_resolver: bool
    timeout: int  # seconds, for one command; 0 is for ever
    dnf_conf: str
    forcearch: str = ""
    releasever: str = ""
    own_dev: bool = True
    modules: tuple[tuple[str, str], ...] = ()
    binds: tuple[tuple[str, str], ...] = ()
    macros: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    sign: str = ""
    notes: tuple[str, ...] = ()  # what was asked for and is done otherwise, for root.log


def defaults() -> dict[str, Any]:
    """What `config_opts` holds before the file changes it: upstream's keys, as far as kojid goes.

    kojid appends to the list of binds and sets single macros, so those have to be there.
    """
    return {
        "basedir": "/var/lib/mock",
        "chroothome": "/builddir",
        "chroot_setup_cmd": "groupinstall build",
        "target_arch": platform.machine(),
        "rpmbuild_networking": False,
        "use_host_resolv": False,
        "rpmbuild_timeout": 0,
        "internal_dev_setup": True,
        "package_manager": "dnf",
        "use_bootstrap": False,
        "use_bootstrap_image": False,
        "module_setup_commands": [],
        "plugin_conf": {"bind_mount_opts": {"dirs": []}, "sign_opts": {}},
        "macros": {"%_rpmfilename": "%%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm"},
        "environment": {
            "TERM": "vt100",
            "SHELL": "/bin/bash",
            "HOME": "/builddir",
            "HOSTNAME": "mock",
            "PATH": "/usr/bin:/bin:/usr/sbin:/sbin",
            "LANG": "C.UTF-8",
        },
        "files": {},
    }


def read(name: str, account: Account, directory: Path = CONFIGURATIONS) -> dict[str, Any]:
    """Run the configuration `koji/NAME` as the caller, and return `config_opts` as data."""
    if name.startswith("/") or not all(SAFE_NAME.fullmatch(part) for part in name.split("/")):
        raise Failed(Status.CONFIGURATION, f"{name!r} does not name a file beneath {directory}")
    path = directory / f"{name}.cfg"
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        answer: dict[str, Any]
        try:
            kernel.become(account.uid, account.gid)
            answer = {"options": evaluate(path)}
            text = json.dumps(answer)
        except BaseException as error:  # whatever the code in the file may raise, SystemExit too
            text = json.dumps({"error": f"{path}: {type(error).__name__}: {error}"})
        with os.fdopen(writer, "w") as pipe:
            pipe.write(text)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    answer = json.loads(text or '{"error": "the reader of the configuration was killed"}')
    if "error" in answer:
        raise Failed(Status.CONFIGURATION, answer["error"])
    return dict(answer["options"])


def evaluate(path: Path) -> dict[str, Any]:
    """Run a configuration that is root's own, and return what it made of the defaults."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    with os.fdopen(descriptor, encoding="utf-8") as file:
        status = os.fstat(descriptor)
        if status.st_uid != 0 or stat.S_IMODE(status.st_mode) & 0o022:
            raise PermissionError("it must belong to root, and nobody else may write it")
        code = compile(file.read(), str(path), "exec")
    options = defaults()
    exec(code, {"config_opts": options})
    return options


def settings(options: dict[str, Any]) -> Settings:
    """Check what a configuration said; every part of a path that root will use, above all."""
    plugins = options["plugin_conf"]
    timeout = options["rpmbuild_timeout"]
    commands = options["chroot_setup_cmd"]
    wrong = []
    if not SAFE_NAME.fullmatch(str(options.get("root", ""))):
        wrong.append(f"root: {options.get('root')!r} is no name for a directory")
    for key in ("basedir", "chroothome"):
        if not re.fullmatch(r"(/[\w+~.-]+)+", options[key]) or ".." in options[key]:
            wrong.append(f"{key}: {options[key]!r} is no absolute path")
    if Path("/tmp") in Path(options["basedir"]).parents:
        wrong.append("basedir: /tmp is hidden from the worker, which has its own")
    if not isinstance(timeout, int) or timeout < 0:
        wrong.append(f"rpmbuild_timeout: {timeout!r} is no number of seconds")
    if not (options.get("dnf.conf") or options.get("yum.conf")):
        wrong.append("yum.conf: it is missing, so there is no repository")
    if wrong:
        raise Failed(Status.CONFIGURATION, "the configuration is wrong: " + "; ".join(wrong))
    sign = plugins.get("sign_opts", {}) if plugins.get("sign_enable") else {}
    return Settings(
        root=options["root"],
        basedir=Path(options["basedir"]),
        architecture=options["target_arch"],
        home=options["chroothome"],
        setup=tuple(commands.split() if isinstance(commands, str) else commands),
        networking=bool(options["rpmbuild_networking"]),
        host_resolver=bool(options["use_host_resolv"]),
        timeout=timeout,
        dnf_conf=options.get("dnf.conf") or options["yum.conf"],
        forcearch=options.get("forcearch") or "",
        releasever=str(options.get("releasever") or ""),
        own_dev=bool(options["internal_dev_setup"]),
        modules=tuple((action, words) for action, words in options["module_setup_commands"]),
        binds=tuple((source, target) for source, target in plugins["bind_mount_opts"]["dirs"]),
        macros={key: str(value) for key, value in options["macros"].items()},
        environment={key: str(value) for key, value in options["environment"].items()},
        files=dict(options["files"]),
        sign=f"{sign.get('cmd', '')} {sign.get('opts', '')}".strip(),
        notes=tuple(_notes(options)),
    )


def _notes(options: dict[str, Any]) -> list[str]:
    notes = []
    if options["package_manager"] not in ("dnf", "dnf4"):
        notes.append(f"package_manager {options['package_manager']}: this driver uses dnf")
    if options["use_bootstrap"] or options["use_bootstrap_image"]:
        notes.append("use_bootstrap: this driver installs with the builder's own dnf and rpm")
    return notes


def personality(architecture: str, machine: str) -> bool:
    """Whether an architecture needs the 32-bit personality here; refuse one that cannot run."""
    if architecture in (machine, "noarch") or architecture.startswith(f"{machine}_v"):
        return False
    if architecture in NARROW.get(machine, ()):
        return True
    raise Failed(
        Status.ARCHITECTURE,
        f"{architecture} cannot be built here: this builder is {machine}, and emulation (forcearch"
        " with qemu-user) is not supported",
        "take the architecture from the builder's, or add a builder on such a machine",
    )
