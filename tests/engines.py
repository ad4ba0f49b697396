"""Engines that a test starts, each as on a machine of its own: with its own network, process
numbers, host name, mounts, cgroup and data. They share a bridge, and the kernel.

    with Bridge() as bridge, Engine("one", bridge) as one, Engine("two", bridge) as two:
        one.load(connect().address, "koji-hub")
        one.run("docker", "run", "--detach", "--publish", "443:443", "koji-hub")

It needs root, and the programs that Docker needs: iproute2, iptables, util-linux. Containers reach
the internet where the machine lets them be masqueraded.
"""

import json
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from ipaddress import IPv4Interface, IPv4Network
from pathlib import Path
from typing import Any, Self

from nagoya.errors import CommandError
from nagoya.utils.command import run

_NETWORKS = IPv4Network("10.224.0.0/12")
"""Where a bridge takes its network from."""
_POOLS = IPv4Network("172.20.0.0/14")
"""Where an engine takes those of its containers from. Two engines may take the same."""
USER = 1000
"""The user who runs a rootless engine."""
_CGROUPS = Path("/sys/fs/cgroup")
_FORWARD = Path("/proc/sys/net/ipv4/ip_forward")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_START_SECONDS = 60
_STOP_SECONDS = 60

# The new /sys is that of the network namespace; it lacks the cgroups. docker-init reaps what
# containerd and conmon leave: an engine would be process 1. A chroot is not enough, since runc
# would start programs in this machine's root folder.
_BEGIN = """\
set -e
hostname "$1"; folder=$2 root=$3; shift 3
mkdir -p "$folder/cgroup"
mount --rbind /sys/fs/cgroup "$folder/cgroup"
if [ "$root" != / ]; then
    mount --bind "$root" "$root"
    cd "$root"
    mount --rbind /dev dev
    mount -t tmpfs tmpfs dev/shm
    mount -t proc proc proc
    for each in run tmp var/tmp; do mount -t tmpfs -o mode=1777 tmpfs $each; done
    mkdir -p ".$folder"
    mount --rbind "$folder" ".$folder"
    mount --bind /etc/resolv.conf etc/resolv.conf
    pivot_root . mnt
    cd /
    umount -l /mnt
fi
mount -t sysfs sysfs /sys
mount --rbind "$folder/cgroup" /sys/fs/cgroup
exec docker-init -s -- "$@"
"""


class Bridge:
    """A network that engines are on; this machine is on it too, as their router."""

    def __init__(self) -> None:
        self.name = f"ng{secrets.token_hex(4)}"
        self.network = _free_network()
        self.router, *self._free = (
            IPv4Interface(f"{host}/{self.network.prefixlen}") for host in self.network.hosts()
        )
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            run(["ip", "link", "add", self.name, "type", "bridge"])
            stack.callback(run, ["ip", "link", "delete", self.name])
            run(["ip", "address", "add", str(self.router), "dev", self.name])
            run(["ip", "link", "set", self.name, "up"])
            # Without it they have each other, and no way out.
            with suppress(CommandError, OSError):
                self._route(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def take(self) -> IPv4Interface:
        """An address that nothing on this bridge has had."""
        return self._free.pop(0)

    def _route(self, stack: ExitStack) -> None:
        """Let the engines reach what this machine reaches."""
        if (before := _FORWARD.read_text()).strip() != "1":
            _FORWARD.write_text("1")
            stack.callback(_FORWARD.write_text, before)
        network = str(self.network)
        for table, chain, *rule in (
            ("nat", "POSTROUTING", "-s", network, "!", "-d", network, "-j", "MASQUERADE"),
            ("filter", "FORWARD", "-i", self.name, "-j", "ACCEPT"),
            ("filter", "FORWARD", "-o", self.name, "-j", "ACCEPT"),
        ):
            run(["iptables", "-w", "-t", table, "-I", chain, *rule])
            stack.callback(run, ["iptables", "-w", "-t", table, "-D", chain, *rule])


@dataclass
class Engine:
    """A Docker engine, which runs inside of the `with` statement, and leaves nothing behind.

    `root` is the root folder whose programs are the engine's, such as another Debian's;
    `run` takes this machine's. `options` are those of a daemon.json.
    """

    name: str
    bridge: Bridge
    root: Path = Path("/")
    options: Mapping[str, Any] = field(default_factory=dict)
    folder: Path = field(init=False)
    interface: IPv4Interface = field(init=False)
    _process: "subprocess.Popen[bytes] | None" = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.interface = self.bridge.take()
        # Of the namespace, of the link to the bridge, and of the cgroup.
        self._id = f"{self.bridge.name}-{self.interface.packed[-1]}"

    @property
    def ip(self) -> str:
        """Its address on the bridge."""
        return str(self.interface.ip)

    @property
    def address(self) -> str:
        """The value of DOCKER_HOST."""
        return f"unix://{self.folder}/run/docker.sock"

    @property
    def log(self) -> str:
        """What the engine's program has written."""
        return (self.folder / "log").read_text(errors="replace")

    @property
    def enter(self) -> list[str | Path]:
        """What precedes a command of this machine's that is to run in the engine's network."""
        return ["nsenter", f"--net=/run/netns/{self._id}"]

    @property
    def pid(self) -> int:
        """The number of process 1 of its namespace. Raises OSError, ValueError if there is none."""
        assert self._process
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        return int(children.read_text())

    def __enter__(self) -> Self:
        # Not below /tmp, which may be in memory.
        self.folder = Path(tempfile.mkdtemp(prefix=f"{self._id}-", dir="/var/tmp"))
        try:
            self._configure()
            self.start()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._remove()

    def start(self) -> None:
        """Start it, again with the data that it had, and wait until it answers."""
        self._connect()
        # As the machine's /run, it does not outlive the processes.
        shutil.rmtree(self.folder / "run", ignore_errors=True)
        (self.folder / "run").mkdir()
        command = [
            *self.enter,
            *("unshare", "--mount", "--propagation", "slave", "--uts", "--pid", "--fork"),
            *("--kill-child", "--mount-proc"),
            *("sh", "-c", _BEGIN, "sh", self.name, str(self.folder), str(self.root)),
            *self._command(),
        ]
        proxies = {key: text for key, text in os.environ.items() if key.lower().endswith("_proxy")}
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                # As a service's, without the folders of this user.
                env={**proxies, "HOME": "/root", "PATH": _PATH},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._wait()

    def stop(self) -> None:
        """Stop it, as when the machine is shut down."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it with all its containers, as when the machine loses its power."""
        self._end(signal.SIGKILL)

    def run(self, *arguments: str | Path, **environment: str) -> str:
        """What a program prints that runs on the engine's machine. Raises CommandError."""
        path = f"{os.environ['PATH']}:{_PATH}"
        variables = {"DOCKER_HOST": self.address, "PATH": path, **environment}
        words = [f"{key}={value}" for key, value in variables.items()]
        return run([*self.enter, "env", *words, *arguments])

    def load(self, source: str, *images: str) -> None:
        """Copy images from the engine at the address `source`."""
        command = ["docker", "--host", source, "save", *images]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as save:
            subprocess.run(
                ["docker", "--host", self.address, "load", "--quiet"],
                stdin=save.stdout, stdout=subprocess.DEVNULL, check=True,
            )  # fmt: skip
        if save.returncode:
            raise CommandError(f"docker save of {', '.join(images)} from {source} failed")

    def _command(self) -> list[str]:
        return ["dockerd", "--config-file", f"{self.folder}/daemon.json"]

    def _configure(self) -> None:
        configuration = {
            "data-root": f"{self.folder}/data",
            "exec-root": f"{self.folder}/run/engine",
            "pidfile": f"{self.folder}/run/engine.pid",
            "hosts": [self.address],
            "exec-opts": ["native.cgroupdriver=cgroupfs"],
            "cgroup-parent": f"/{self._id}",
            "default-address-pools": [{"base": str(_POOLS), "size": 24}],
            **self.options,
        }
        (self.folder / "daemon.json").write_text(json.dumps(configuration))

    def _connect(self) -> None:
        """Make its network namespace, with an interface on the bridge."""
        run(["ip", "netns", "add", self._id])
        peer = ("peer", "name", "eth0", "netns", self._id)
        run(["ip", "link", "add", self._id, "type", "veth", *peer])
        run(["ip", "link", "set", self._id, "master", self.bridge.name, "up"])
        for command in (
            f"address add {self.interface} dev eth0",
            "link set eth0 up",
            "link set lo up",
            f"route add default via {self.bridge.router.ip}",
        ):
            run(["ip", "-n", self._id, *command.split()])

    def _wait(self) -> None:
        assert self._process
        deadline = time.monotonic() + _START_SECONDS
        while self._process.poll() is None and time.monotonic() < deadline:
            with suppress(CommandError):
                run(["docker", "--host", self.address, "version"])
                return
            time.sleep(0.1)
        raise RuntimeError(f"the engine {self.name} does not answer:\n{self.log[-2000:]}")

    def _end(self, sent: signal.Signals) -> None:
        """Send a signal to process 1 of the namespace, with which all others of it end."""
        if self._process is None:
            return
        try:
            first = self.pid
        except (OSError, ValueError):  # it has ended by itself, or not begun
            self._process.kill()
        else:
            os.kill(first, sent)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_STOP_SECONDS)
            if self._process.poll() is None:
                os.kill(first, signal.SIGKILL)
        self._process.wait(_STOP_SECONDS)
        self._process = None
        self._disconnect()

    def _disconnect(self) -> None:
        with suppress(CommandError):  # the link has gone with the namespace, or will
            run(["ip", "link", "delete", self._id])
        with suppress(CommandError):
            run(["ip", "netns", "delete", self._id])

    def _remove(self) -> None:
        self.kill()
        self._disconnect()
        for _ in range(50):
            if not any([_remove_cgroup(cgroup) for cgroup in self._cgroups()]):
                break
            time.sleep(0.1)
        shutil.rmtree(self.folder)

    def _cgroups(self) -> Iterator[Path]:
        """One, or with cgroup v1 one of each controller."""
        for parent in (_CGROUPS, *_CGROUPS.iterdir()):
            if (parent / self._id).is_dir():
                yield parent / self._id


class Podman(Engine):
    """The same with Podman, rootful, without systemd; `options` do not apply."""

    @property
    def client(self) -> list[str]:
        """Podman's own client on the engine's machine, without its words."""
        namespaces = [f"--{name}" for name in ("mount", "net", "pid", "uts")]
        return ["nsenter", f"--target={self.pid}", *namespaces, *self._podman()]

    def _podman(self) -> list[str]:
        settings = {"CONTAINERS_CONF": "containers", "CONTAINERS_STORAGE_CONF": "storage"}
        words = [f"{name}={self.folder}/{file}.conf" for name, file in settings.items()]
        return ["env", *words, "podman"]

    def _command(self) -> list[str]:
        return [*self._podman(), "system", "service", "--time=0", self.address]

    def _configure(self) -> None:
        # Podman 5 warns of cgroup v1, and crun refuses it beside v2.
        containers = f"""\
[containers]
default_ulimits = ["nofile=20000:20000", "nproc=32768:32768"]
[network]
network_backend = "netavark"
network_config_dir = "{self.folder}/networks"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
"""
        storage = f"""\
[storage]
driver = "overlay"
graphroot = "{self.folder}/data"
runroot = "{self.folder}/run/storage"
"""
        (self.folder / "containers.conf").write_text(containers)
        (self.folder / "storage.conf").write_text(storage)

    def _cgroups(self) -> Iterator[Path]:
        """Those of containers that were killed with it."""
        for container in (self.folder / "data/overlay-containers").iterdir():
            for pattern in ("", "*/"):
                yield from _CGROUPS.glob(f"{pattern}libpod_parent/libpod*{container.name}*")


class RootlessPodman(Podman):
    """The same, run by a user that root folder has."""

    def _command(self) -> list[str]:
        runtime = f"{self.folder}/run"
        user = ("setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "env",
                f"HOME={self.folder}/data", f"XDG_RUNTIME_DIR={runtime}")  # fmt: skip
        program = [*user, *super()._command()]
        return ["sh", "-ec", 'chown "$0" "$1"; shift; exec "$@"', str(USER), runtime, *program]

    def _configure(self) -> None:
        super()._configure()
        self.folder.chmod(0o755)
        for name in ("data", "networks"):
            (self.folder / name).mkdir()
            os.chown(self.folder / name, USER, USER)


def _remove_cgroup(cgroup: Path) -> bool:
    """Remove it with those in it; whether it is still there, since a process has not ended."""
    for folder, _, _ in os.walk(cgroup, topdown=False):
        with suppress(OSError):
            Path(folder).rmdir()
    return cgroup.is_dir()


def _free_network() -> IPv4Network:
    """A network that this machine has no route to but its default one."""
    routes = json.loads(run(["ip", "-json", "-4", "route", "show", "table", "all"]))
    words = [route["dst"] for route in routes if route["dst"] != "default"]
    used = [IPv4Network(word, strict=False) for word in words]
    candidates = [*_NETWORKS.subnets(new_prefix=24)]
    free = [each for each in candidates if not any(each.overlaps(other) for other in used)]
    return secrets.choice(free)
