"""One container of a system: create, start, stop and remove it, with the events of each."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event as Signal

from nagoya.config.declaration import Declaration
from nagoya.config.model import Container, Endpoint, Event
from nagoya.engine import Engine, Handle, containers, creation, transfer
from nagoya.engine.exec import execute
from nagoya.engine.published import address_of, free_port
from nagoya.engine.resources import network_name
from nagoya.engine.state import HOST_LABEL, State, reached_at
from nagoya.errors import EngineError, LifecycleError, PortTaken
from nagoya.system.observed import ASIDE, CONFIGURATION_LABEL, REPLACEMENT, record
from nagoya.system.owner import Owner
from nagoya.system.plan import DRAIN_LABEL, PRE_COMMIT_LABEL
from nagoya.utils.progress import Progress

_PRE_COMMIT_SECONDS = 660
_DRAIN_GRACE_SECONDS = 30
"""How much longer a drain may take than the seconds that its command gets."""
_PORT_TRIES = 5
_PAUSE = 0.1


@dataclass(frozen=True)
class SystemContainer:
    """A container of a system, whether or not it exists; callbacks get one.

    `name` is its host name; `declared` is its name in moromi.yml, which the copies of a scaled
    container share. At pre_init and pre_create there is no container yet, at post_remove there is
    none any more. `host` finds the host at which clients reach its ports. Once `interrupted` is set
    nothing is created.
    """

    engine: Engine
    declaration: Declaration
    progress: Progress
    system: str
    owner: Owner
    name: str
    declared: str
    host: Callable[[], str]
    interrupted: Signal = field(default_factory=Signal, repr=False)
    suffix: str = ""

    @property
    def container_name(self) -> str:
        return f"{self.system}-{self.name}{self.suffix}"

    @property
    def settings(self) -> Container | None:
        """How moromi.yml declares it; None if it no longer does."""
        return self.declaration.containers.get(self.declared)

    @property
    def home(self) -> Path:
        """The folder whose .koji/ holds profiles and credentials: the user's home, or another one
        that the system's creator chose."""
        return self.owner.home

    @property
    def replacement(self) -> "SystemContainer":
        """The container that is about to take its place."""
        return replace(self, suffix=REPLACEMENT)

    @property
    def aside(self) -> "SystemContainer":
        """The container that it replaced, until that is removed."""
        return replace(self, suffix=ASIDE)

    def handle(self) -> Handle:
        """The engine's container. Raises EngineError if there is none, as `state` does."""
        return containers.get(self.engine, self.container_name)

    def state(self) -> State:
        return containers.state(self.handle(), reload=False)

    def read_file(self, path: str) -> bytes:
        """The content of a file in it, running or not."""
        return transfer.read_file(self.handle(), path)

    def log(self, text: str) -> None:
        """Print a line above the progress display."""
        self.progress.log(text)

    def create(self, ports: Mapping[int, int], volumes: Mapping[str, str]) -> None:
        """Create it without starting it; a port that is not in `ports` gets a free one."""
        with self._step("pre_create", "creating", "created", "post_create"):
            self._check_interrupted()
            handle = creation.create(self.engine, self._specification(ports, volumes))
            if self.interrupted.is_set():  # a removal that runs meanwhile did not see it
                containers.remove(handle)
                self._check_interrupted()

    def take_place(self, data: Sequence[str]) -> None:
        """Replace the container by its replacement, with the `data` at these paths, and with the
        configuration that toji wrote."""
        old, new = self.handle(), self.replacement.handle()
        for path in json.loads(containers.label(new, CONFIGURATION_LABEL) or "[]"):
            transfer.copy_path(old, new, path, missing_ok=True)
        for path in data:
            self._working(f"copying {path}")
            transfer.copy_path(old, new, path)
        # Its anonymous volumes stay, since the new one uses them.
        containers.remove(old)
        self.keep_replacement()

    def keep_replacement(self) -> None:
        """Give a replacement its name, now that the old container is gone."""
        containers.rename(self.replacement.handle(), self.container_name)
        self._done("replaced")

    def set_aside(self) -> None:
        """Keep it beside what takes its place."""
        containers.rename(self.handle(), self.aside.container_name)

    def put_back(self) -> None:
        """Give a container that was set aside its name again."""
        containers.rename(self.aside.handle(), self.container_name)
        self._done("put back")

    def start(self, volumes: Mapping[str, str], data: Sequence[str] = ()) -> None:
        """Start it; with `detach: false` wait until it ends.

        `volumes` and `data` are those that it was created with, should it need another free port.
        """
        self.fire("pre_start")
        self._check_interrupted()
        self._working("starting")
        self._start_on_free_port(volumes, data)
        if self.settings and not self.settings.detach:
            self.wait_for_end()
        else:
            self._done("started")
        self.fire("post_start")

    def wait_for_end(self) -> None:
        """Wait until a container with `detach: false` ends. Raises LifecycleError."""
        seconds = self.settings.timeout if self.settings else 0
        deadline = time.monotonic() + seconds
        handle = self.handle()
        while (state := containers.state(handle)).running:
            self._check_interrupted()
            if time.monotonic() > deadline:
                raise LifecycleError(
                    f"still running after {seconds} s; `timeout: SECONDS` in moromi.yml allows it "
                    f"longer, `toji --system {self.system} logs {self.name}` shows what it does"
                )
            time.sleep(_PAUSE)
        if state.exit_code:
            raise LifecycleError(ended(state, handle))
        self._done("completed")

    def update(self) -> None:
        """Let the engine start it again as it is declared now."""
        if self.settings:
            containers.set_restart_policy(self.handle(), self.settings.restart)
            self._done(f"restart: {self.settings.restart}")

    def stop(self) -> None:
        """Stop it, with its image's signal and within its `stop_timeout`."""
        with self._step("pre_stop", "stopping", "stopped", "post_stop"):
            containers.stop(self.handle())

    def remove(self) -> None:
        """Remove it with its anonymous volumes; one that is gone already is no error."""
        with self._step("pre_remove", "removing", "removed", "post_remove"):
            containers.remove_named(self.engine, self.system, self.container_name)

    def drain(self, seconds: float) -> None:
        """Run the image's command that ends once the container has no more work to do.

        A container where the command fails, such as one that keeps exiting, is not waited for.
        """
        self._working(f"draining for up to {seconds:.0f} s")
        try:
            status, output = self._execute(
                DRAIN_LABEL, f"{seconds:.0f}", seconds=seconds + _DRAIN_GRACE_SECONDS
            )
        except EngineError as error:
            status, output = 1, str(error)
        if status:
            self.log(
                f"{self.name} did not finish its tasks ({output}); the hub gives them to another "
                "builder"
            )

    def pre_commit(self) -> None:
        """Run the image's command that deletes what no image made of the container should hold."""
        self._working("cleaning up")
        status, output = self._execute(PRE_COMMIT_LABEL, seconds=_PRE_COMMIT_SECONDS)
        if status:
            raise LifecycleError(f"could not clean up: {output}")

    def fire(self, event: Event) -> None:
        """Call the callbacks of an event. Raises LifecycleError if a callback fails."""
        for name in self.settings.callbacks.get(event, ()) if self.settings else ():
            self.declaration.call(name, event, self)

    @contextmanager
    def _step(self, before: Event, working: str, done: str, after: Event) -> Iterator[None]:
        self.fire(before)
        self._working(working)
        yield
        self._done(done)
        self.fire(after)

    def _execute(self, label: str, *arguments: str, seconds: float) -> tuple[int, str]:
        handle = self.handle()
        command = json.loads(containers.labels(handle)[label])
        status, output = execute(handle, [*command, *arguments], seconds=seconds)
        return status, output.strip()

    def _working(self, detail: str) -> None:
        self.progress.update(self.name, "working", detail)

    def _done(self, detail: str) -> None:
        self.progress.update(self.name, "done", detail)

    def _check_interrupted(self) -> None:
        if self.interrupted.is_set():
            raise LifecycleError("interrupted")

    def _specification(
        self, ports: Mapping[int, int], volumes: Mapping[str, str]
    ) -> creation.Specification:
        settings = self.declaration.containers[self.declared]
        host = self.host()
        published = {}
        for port in settings.ports:
            address = port.address or address_of(host)
            number = port.host or ports.get(port.container) or free_port(address)
            published[port.container] = (address, number)
        return creation.Specification(
            name=self.container_name,
            image=settings.image,
            hostname=self.name,
            network=None if settings.network_mode else network_name(self.system),
            labels={
                **self.owner.container_labels(self.system, self.declared),
                **record(self.declaration, self.declared),
                HOST_LABEL: host,
            },
            command=settings.command,
            environment=settings.variables(
                host,
                {
                    port: Endpoint(reached_at(address, host), number)
                    for port, (address, number) in published.items()
                },
            ),
            ports=published,
            volumes=volumes,
            volumes_from=[
                f"{self.system}-{source.container}:{source.mode}"
                for source in settings.volumes_from
            ],
            cap_add=settings.cap_add,
            cap_drop=settings.cap_drop,
            security_opt=settings.security_opt,
            devices=settings.devices,
            sysctls=settings.sysctls,
            read_only=settings.read_only,
            mem_limit=settings.mem_limit,
            pids_limit=settings.pids_limit,
            cpus=settings.cpus,
            stop_timeout=settings.stop_timeout,
        )

    def _start_on_free_port(self, volumes: Mapping[str, str], data: Sequence[str]) -> None:
        """Start it; a free port that another program took meanwhile is chosen again.

        Docker fixes the ports when a container is created, so that takes another container.
        """
        ports = self.settings.ports if self.settings else ()
        chosen = any(port.host is None for port in ports)
        for attempt in range(_PORT_TRIES):
            handle = self.handle()
            try:
                containers.start(handle, self.settings.restart if self.settings else "no")
                return
            except PortTaken:
                has_run = containers.state(handle).ever_started
                if not chosen or has_run or attempt == _PORT_TRIES - 1:
                    raise
            self.replacement.create({}, volumes)
            self.take_place(data)


def ended(state: State, handle: Handle) -> str:
    """How a container ended, with the last lines of its log."""
    lines = "".join(f"\n    {line}" for line in containers.log(handle, tail=15))
    status = f"with status {state.exit_code}" if not state.running else "and was started again"
    return f"ended {status}{lines}"
