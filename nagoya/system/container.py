"""One container of a system: made, started, stopped, removed, with the events of each."""

import json
import socket
from dataclasses import dataclass
from pathlib import Path

from nagoya.config.declaration import Declaration
from nagoya.config.model import Container, Event
from nagoya.engine import Engine, Handle, containers
from nagoya.engine.containers import CONTAINER_LABEL, SYSTEM_LABEL, State
from nagoya.errors import LifecycleError, PortTaken
from nagoya.system.observed import record
from nagoya.system.owner import Owner
from nagoya.utils.progress import Progress

DRAIN_LABEL = "nagoya.drain"
"""On an image: a command, as a JSON list, that ends once the container has no more work to do."""
PRE_COMMIT_LABEL = "nagoya.pre-commit"
"""On an image: a command, as a JSON list, that takes away what no image made of it should have."""

_RUN_ONCE_SECONDS = 120
_PRE_COMMIT_SECONDS = 660
_DRAIN_GRACE_SECONDS = 30
"""What a drain may take longer than it was told; its command has to keep the time itself."""
_PORT_TRIES = 5


@dataclass(frozen=True)
class SystemContainer:
    """A container of a system, whether or not it exists; callbacks get one.

    `name` is its host name; `declared` is the name it bears in moromi.yml, which several share
    where a system was scaled. At pre_init and pre_create there is no container yet, at post_remove
    there is none any more.
    """

    engine: Engine
    declaration: Declaration
    progress: Progress
    system: str
    owner: Owner
    name: str
    declared: str

    @property
    def container_name(self) -> str:
        """The name by which the engine knows it."""
        return f"{self.system}-{self.name}"

    @property
    def settings(self) -> Container | None:
        """What moromi.yml says of it; None where it says nothing (any more)."""
        return self.declaration.containers.get(self.declared)

    @property
    def home(self) -> Path:
        """The folder in whose .koji/ profiles and credentials are: the user's home, or one that the
        system's maker chose."""
        return self.owner.home

    def handle(self) -> Handle:
        """The engine's container; EngineError where there is none."""
        return containers.get(self.engine, self.container_name)

    def state(self) -> State:
        """What the engine says of it now; EngineError where there is none."""
        return containers.state(self.handle(), reload=False)

    def read_file(self, path: str) -> bytes:
        """A file out of it, running or not."""
        return containers.read_file(self.handle(), path)

    def log(self, text: str) -> None:
        """Tell the user something, without spoiling the progress that is shown."""
        self.progress.log(text)

    def init(self, present: bool = False) -> None:
        """Make it unless it is `present`, and start it.

        The events of init come every time, so that what an earlier call did not come to, since it
        was cut off or a callback failed, is made good.
        """
        self._fire("pre_init")
        if not present:
            self.create()
        self.start()
        self._fire("post_init")

    def create(self) -> Handle:
        """Make it, not yet started."""
        self._fire("pre_create")
        self._working("creating")
        handle = containers.create(self.engine, self._specification())
        self._fire("post_create")
        return handle

    def start(self) -> None:
        """Start it unless it runs, or has done its work once and for all."""
        handle = self.handle()
        state = containers.state(handle, reload=False)
        settings = self.settings
        if state.running or (settings and settings.run_once and state.completed):
            self._done("runs" if state.running else "ran before")
            return
        self._fire("pre_start")
        self._working("starting")
        handle = self._started(handle)
        if settings and not settings.detach:
            _ended_well(handle)
            self._done("ran to its end")
        else:
            self._done("started")
        self._fire("post_start")

    def stop(self) -> None:
        """Stop it, by its image's own signal and within its own time."""
        handle = self.handle()
        # One that is paused, or between two starts, can be stopped too.
        if containers.state(handle, reload=False).status in ("created", "exited", "dead"):
            self._done("was not running")
            return
        self._fire("pre_stop")
        self._working("stopping")
        containers.stop(handle)
        self._done("stopped")
        self._fire("post_stop")

    def remove(self) -> None:
        """Remove it with its volumes; the event comes even where it is gone already."""
        self._fire("pre_remove")
        self._working("removing")
        containers.remove_named(self.engine, self.system, self.container_name)
        self._done("removed")
        self._fire("post_remove")

    def drain(self, seconds: float) -> None:
        """Give it no more work, and let it end what it has, as its image says how."""
        handle = self.handle()
        command = containers.label(handle, DRAIN_LABEL)
        if command is None or not containers.state(handle, reload=False).running:
            return
        self._working(f"draining, {seconds:.0f} s at most")
        status, output = containers.execute(
            handle, [*json.loads(command), f"{seconds:.0f}"], seconds=seconds + _DRAIN_GRACE_SECONDS
        )
        if status:
            self.log(f"{self.name}: {output.strip()}; what it works on goes back to the hub")

    def tidy(self) -> None:
        """Have it take away what no image that is made of it should have, if its image says how."""
        handle = self.handle()
        command = containers.label(handle, PRE_COMMIT_LABEL)
        if command is None or not containers.state(handle, reload=False).running:
            return
        self._working("tidying up")
        status, output = containers.execute(
            handle, json.loads(command), seconds=_PRE_COMMIT_SECONDS
        )
        if status:
            raise LifecycleError(f"cannot tidy up: {output.strip()}")

    def _working(self, detail: str) -> None:
        self.progress.update(self.name, "working", detail)

    def _done(self, detail: str) -> None:
        self.progress.update(self.name, "done", detail)

    def _fire(self, event: Event) -> None:
        settings = self.settings
        for name in settings.callbacks.get(event, ()) if settings else ():
            self.declaration.call(name, event, self)

    def _specification(self) -> containers.Specification:
        settings = self.declaration.containers[self.declared]
        volumes = [f"{self.system}-{one.container}:{one.mode}" for one in settings.volumes_from]
        ports = {port.container: port.host or free_port() for port in settings.ports}
        return containers.Specification(
            name=self.container_name,
            image=settings.image,
            hostname=self.name,
            network=None if settings.network_mode else self.system,
            labels={
                SYSTEM_LABEL: self.system,
                CONTAINER_LABEL: self.declared,
                **record(self.declaration, self.declared),
                **self.owner.labels,
            },
            command=settings.command,
            environment=settings.variables(ports),
            ports=ports,
            volumes_from=volumes,
            cap_add=settings.cap_add,
            cap_drop=settings.cap_drop,
            security_opt=settings.security_opt,
            stop_timeout=settings.stop_timeout,
        )

    def _started(self, handle: Handle) -> Handle:
        """Start it; a free port that somebody took meanwhile is chosen again.

        Docker fixes the ports when a container is made, so a new choice is a new container; one
        that has run before is left as it is, for its data would go.
        """
        ports = self.settings.ports if self.settings else ()
        chosen = any(port.host is None for port in ports)
        for _ in range(_PORT_TRIES):
            try:
                containers.start(handle)
                return handle
            except PortTaken:
                if not chosen or containers.state(handle).ever_started:
                    raise
            containers.remove(handle)
            handle = self.create()
        raise LifecycleError("no free port could be had", "is this machine short of ports?")


def _ended_well(handle: Handle) -> None:
    status = containers.wait_exit(handle, _RUN_ONCE_SECONDS)
    if status:
        said = "".join(f"\n    {line}" for line in containers.last_lines(handle))
        raise LifecycleError(f"ended with status {status}{said}")


def free_port() -> int:
    """A port of 127.0.0.1 that nobody has at this moment."""
    with socket.socket() as probe:
        probe.bind((containers.HOST, 0))
        return int(probe.getsockname()[1])
