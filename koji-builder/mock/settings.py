"""A buildroot's configuration: the Python that kojid writes to /etc/mock/koji, run as the caller.

The file is code that changes `config_opts`. A child process runs it as the unprivileged caller and
returns the result as JSON, so none of it ever runs as root. Root still acts on the values (it binds
the directories, for example), so the file must lie beneath /etc/mock, belong to root and be
writable by root alone.
"""

import json
import os
import platform
import re
import stat
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import kernel
from errors import MockError, Status

CONFIGURATIONS = Path("/etc/mock")
SAFE_NAME = re.compile(r"[A-Za-z0-9_+~.-]*[A-Za-z0-9_+~-][A-Za-z0-9_+~.-]*")  # so neither . nor ..

# 32-bit architectures, in RPM's names, that a 64-bit machine can run under PER_LINUX32.
ARCHITECTURES_32BIT = {
    "x86_64": ("i386", "i486", "i586", "i686", "athlon"),
    "aarch64": ("armv7l", "armv7hl"),
    "ppc64": ("ppc",),
    "s390x": ("s390",),
}


@dataclass(frozen=True)
class Account:
    """The caller, which the driver acts as where it need not be root, and the group mock."""

    uid: int
    gid: int


@dataclass(frozen=True)
class Settings:
    """A validated configuration. Paths are the builder's, except `home`, which is the chroot's."""

    root: str
    basedir: Path
    architecture: str
    home: str
    setup: tuple[str, ...]
    networking: bool
    host_resolver: bool
    timeout: int  # seconds, for one command; 0 means no limit
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
    bootstrap: bool = False  # whether the distribution's own dnf and rpm install the packages
    unsupported: tuple[str, ...] = ()  # what a tag asks for and this driver cannot do

    @property
    def of_bootstrap(self) -> "Settings":
        """Those of the chroot with the distribution's own dnf and rpm."""
        setup = ("install", "python3-dnf", "python3-dnf-plugins-core")
        return replace(self, root=f"{self.root}-bootstrap", setup=setup, modules=(), files={},
                       host_resolver=True, bootstrap=False)  # fmt: skip

    @property
    def local_repositories(self) -> list[str]:
        """The folders of repositories on this machine."""
        return re.findall(r"\bfile://(/[^\s,]+)", self.dnf_conf)


def defaults() -> dict[str, Any]:
    """`config_opts` before the file changes it: those of upstream's keys that kojid uses.

    kojid appends to the list of binds and sets single macros, so those keys must exist.
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
        "macros": {
            "%_rpmfilename": "%%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm",
            # Whatever a distribution's macros say, as upstream's mock does.
            "%_buildhost": os.uname().nodename,
        },
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
    """Run the configuration `name` (such as koji/TAG-7-3) as the caller; return its `config_opts`.

    Raises MockError if the name leads elsewhere, or with whatever the code raised.
    """
    if name.startswith("/") or not all(SAFE_NAME.fullmatch(part) for part in name.split("/")):
        raise MockError(
            Status.CONFIGURATION, f"{name!r} is not the name of a file beneath {directory}"
        )
    path = directory / f"{name}.cfg"
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        answer: dict[str, Any]
        try:
            kernel.drop_privileges(account.uid, account.gid)
            answer = {"options": evaluate(path)}
            text = json.dumps(answer)
        except BaseException as error:  # the code may raise anything, even SystemExit
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
        raise MockError(Status.CONFIGURATION, answer["error"])
    return dict(answer["options"])


def evaluate(path: Path) -> dict[str, Any]:
    """Run a configuration file and return the defaults as it changed them.

    Raises PermissionError unless root alone can write it.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    with os.fdopen(descriptor, encoding="utf-8") as file:
        status = os.fstat(descriptor)
        if status.st_uid != 0 or stat.S_IMODE(status.st_mode) & 0o022:
            raise PermissionError("it must belong to root and be writable by root alone")
        code = compile(file.read(), str(path), "exec")
    options = defaults()
    exec(code, {"config_opts": options})
    return options


def settings(options: dict[str, Any]) -> Settings:
    """Validate `config_opts`, above all the parts of paths that root will use.

    Raises MockError that lists every problem.
    """
    plugins = options["plugin_conf"]
    timeout = options["rpmbuild_timeout"]
    commands = options["chroot_setup_cmd"]
    problems = []
    if not SAFE_NAME.fullmatch(str(options.get("root", ""))):
        problems.append(f"root: {options.get('root')!r} is not a directory name")
    for key in ("basedir", "chroothome"):
        if not re.fullmatch(r"(/[\w+~.-]+)+", options[key]) or ".." in options[key]:
            problems.append(f"{key}: {options[key]!r} is not an absolute path without ..")
    if Path("/tmp") in Path(options["basedir"]).parents:
        problems.append("basedir: must not be in /tmp, which the worker does not see")
    if not isinstance(timeout, int) or timeout < 0:
        problems.append(f"rpmbuild_timeout: {timeout!r} is not a number of seconds")
    if not (options.get("dnf.conf") or options.get("yum.conf")):
        problems.append("yum.conf: missing, so there is no repository")
    if problems:
        raise MockError(Status.CONFIGURATION, "invalid configuration: " + "; ".join(problems))
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
        bootstrap=bool(options["use_bootstrap"]),
        unsupported=tuple(_unsupported(options)),
    )


def _unsupported(options: dict[str, Any]) -> list[str]:
    """The settings that would need another mock, as a tag's extra names them."""
    unsupported = []
    if options["package_manager"] not in ("dnf", "dnf4"):
        unsupported.append(f"mock.package_manager={options['package_manager']}")
    if options["use_bootstrap_image"]:
        unsupported.append("mock.bootstrap_image")
    for name, value in options["plugin_conf"].items():
        if name.endswith("_enable") and name != "sign_enable" and value:
            unsupported.append(f"mock.plugin_conf.{name}")
    return unsupported


def refuse_unsupported(settings: Settings) -> None:
    """Raise MockError if a tag asks for what this driver cannot do: its packages would differ."""
    if settings.unsupported:
        raise MockError(
            Status.CONFIGURATION,
            f"this builder's mock does not support {', '.join(settings.unsupported)}, which the"
            " extra of the tag asks for",
            "remove that from the tag (koji edit-tag --remove-extra=KEY TAG, or --block-extra=KEY"
            " if it is inherited), or declare the source `mock` in moromi.yml, so that the builder"
            " has upstream's mock too (docs/mock.md)",
        )


def personality(architecture: str, machine: str) -> bool:
    """Whether an architecture needs the 32-bit personality on `machine`, as uname names it.

    Raises MockError if it cannot run there.
    """
    if architecture in (machine, "noarch") or architecture.startswith(f"{machine}_v"):
        return False
    if architecture in ARCHITECTURES_32BIT.get(machine, ()):
        return True
    raise MockError(
        Status.ARCHITECTURE,
        f"this builder is {machine} and cannot build {architecture}: emulation (forcearch with"
        " qemu-user) is not supported",
        f"remove {architecture} from the builder's arches, or add a builder on such a machine",
    )
