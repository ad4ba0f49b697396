"""The model of moromi.yml: what each key may hold, and the message where it does not."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, get_args

from pydantic import Field, model_validator

from nagoya.config.values import (
    CallbackName,
    Capability,
    ContainerName,
    Device,
    EnvironmentMapping,
    ImageName,
    MemorySize,
    PathText,
    PortText,
    RestartPolicy,
    SecurityOption,
    Sha256,
    SourceName,
    StrictModel,
    SysctlMapping,
    Timeout,
    VolumesFromText,
    VolumeText,
    form,
)  # fmt: skip

Event = Literal[
    "pre_init", "post_init", "pre_create", "post_create", "pre_start", "post_start",
    "pre_stop", "post_stop", "pre_remove", "post_remove",
]  # fmt: skip
EVENTS: tuple[Event, ...] = get_args(Event)
LATEST = "latest"
"""The tag that Docker adds to the name of an image without one."""


class Source(StrictModel):
    """The origin of a source: PyPI, a URL, or a path on this machine (exactly one).

    `sha256` is that of the archive; a `path` has none, since a work tree changes. An `optional`
    source has no origin: its folder is empty, until a file that extends this one declares it.
    """

    pypi: Annotated[str, form(r"[\w.-]+==[\w.+!-]+", "of the form NAME==VERSION")] | None = None
    url: Annotated[str, form(r"https?://[^\s/:@\[\]]\S*", "an http or https URL")] | None = None
    path: PathText | None = None
    sha256: Sha256 | None = None
    optional: Literal[True] | None = None

    @model_validator(mode="after")
    def _one_origin(self) -> "Source":
        archive = self.pypi or self.url
        if sum(map(bool, (self.pypi, self.url, self.path, self.optional))) != 1:
            raise ValueError("needs exactly one of 'pypi', 'url', 'path' and 'optional'")
        if archive and not self.sha256:
            raise ValueError("needs 'sha256', the archive's checksum")
        if self.sha256 and not archive:
            raise ValueError("'sha256' is for 'pypi' and 'url': a 'path' may change")
        return self

    def relative_to(self, folder: Path) -> "Source":
        """The same, with `path` resolved from a folder."""
        return self.model_copy(update={"path": self.path and str(folder / self.path)})


class Base(StrictModel):
    """The base image, and the Debian suite to build it from where no registry has it."""

    image: Annotated[
        str,
        form(
            r"([a-z0-9.-]+(:\d{1,5})?/)?[a-z0-9]+([._/-]+[a-z0-9]+)*:\w[\w.-]{0,127}",
            "of the form NAME:TAG, such as debian:trixie-slim",
        ),
    ]
    suite: Annotated[str, form(r"[a-z]+", "a Debian release, such as trixie")]


_HOST = "{host}"
_PUBLISHED = re.compile(r"(\{host\}:)?(\{port:(\w*)\})")


class Endpoint(NamedTuple):
    """Where a port of a container is published: on a port of a host, as URLs name both."""

    host: str
    port: int | str

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class Container(StrictModel):
    """A container of the system, as declared.

    In its environment `{port:443}` stands for the host port that its port 443 is published on,
    `{host}` for the host, and `{host}:{port:443}` for where clients reach that port. These are
    known only when the container is created, see `variables`.
    `timeout` is how many seconds a container with `detach: false` may take to end.
    """

    image: ImageName
    command: tuple[str, ...] = ()
    detach: bool = True
    run_once: bool = False
    environment: EnvironmentMapping = Field(default_factory=dict)
    ports: tuple[PortText, ...] = ()
    volumes: tuple[VolumeText, ...] = ()
    volumes_from: tuple[VolumesFromText, ...] = ()
    links: tuple[ContainerName, ...] = ()
    network_mode: Literal["none"] | None = None
    cap_add: tuple[Capability, ...] = ()
    cap_drop: tuple[Capability, ...] = ()
    security_opt: tuple[SecurityOption, ...] = ()
    devices: tuple[Device, ...] = ()
    sysctls: SysctlMapping = Field(default_factory=dict)
    read_only: bool = False
    restart: RestartPolicy = "no"
    mem_limit: MemorySize | None = None
    pids_limit: Annotated[int, Field(ge=1, le=2**22)] | None = None
    cpus: Annotated[float, Field(ge=0.01, le=4096)] | None = None
    stop_timeout: Annotated[int, Field(ge=1, le=3600)] = 10
    timeout: Timeout = 120
    callbacks: dict[Event, tuple[CallbackName, ...]] = Field(default_factory=dict)

    @property
    def needs(self) -> tuple[str, ...]:
        """The containers that have to be started first."""
        return tuple(dict.fromkeys([*(v.container for v in self.volumes_from), *self.links]))

    def variables(self, host: str, published: Mapping[int, Endpoint]) -> dict[str, str]:
        """The environment, for the system's `host` and ports that are published so."""

        def endpoint(match: re.Match[str]) -> str:
            where = published[int(match[3])]
            return str(where if match[1] else where.port)

        return {
            name: _PUBLISHED.sub(endpoint, text).replace(_HOST, host)
            for name, text in self.environment.items()
        }

    @model_validator(mode="after")
    def _fits_together(self) -> "Container":
        published = {str(port.container) for port in self.ports}
        for name, text in self.environment.items():
            for match in _PUBLISHED.finditer(text):
                if match[3] not in published:
                    lack = f"but 'ports' does not publish port {match[3]}"
                    raise ValueError(
                        f"environment.{name} uses {match[2]}, "
                        f"{lack if match[3] else 'which names no port'}"
                    )
        paths = [volume.path for volume in self.volumes]
        for path in paths:
            if paths.count(path) > 1:
                raise ValueError(f"'volumes' mounts two volumes at {path}")
        for key in ("ports", "links"):
            if self.network_mode and getattr(self, key):
                raise ValueError(f"{key!r} cannot be used with 'network_mode: none'")
        if self.restart != "no" and not self.detach:
            raise ValueError("'restart' cannot be combined with 'detach: false'")
        for key in ("run_once", "timeout"):
            if key in self.model_fields_set and getattr(self, key) and self.detach:
                raise ValueError(
                    f"{key!r} needs 'detach: false', because toji waits only for such containers"
                )
        return self


class Provisioner(StrictModel):
    """A helper container that runs to its end in the system, once that is ready.

    `files` is a folder relative to the declaration; `timeout` is in seconds.
    """

    image: ImageName
    entrypoint: Annotated[tuple[str, ...], Field(min_length=1)]
    files: PathText | None = None
    environment: EnvironmentMapping = Field(default_factory=dict)
    volumes_from: tuple[VolumesFromText, ...] = ()
    timeout: Timeout = 1800


class SystemImages(StrictModel):
    """Images made from a temporary system, and what is done in it before.

    `containers` names the file whose containers are started, by default the declaring one.
    `commit` and `persist` map a container to the image made of its file system, or of the contents
    of its volumes; `secrets` says whether the latter include secret files.
    """

    containers: PathText | None = None
    seed: PathText | None = None
    root: Provisioner | None = None
    secrets: bool = True
    commit: dict[ContainerName, ImageName] = Field(default_factory=dict)
    persist: dict[ContainerName, ImageName] = Field(default_factory=dict)

    @property
    def outputs(self) -> tuple[str, ...]:
        """The images that are made."""
        return (*self.commit.values(), *self.persist.values())

    @model_validator(mode="after")
    def _has_outputs(self) -> "SystemImages":
        if not self.outputs:
            raise ValueError("makes no image: needs 'commit' or 'persist'")
        return self


class Image(StrictModel):
    """An image with a Dockerfile in `folder` (by default named as the image), or else an entry that
    makes images from a running system and is none itself."""

    folder: PathText | None = None
    system: SystemImages | None = None

    @model_validator(mode="after")
    def _one_origin(self) -> "Image":
        if self.folder is not None and self.system is not None:
            raise ValueError("has both 'folder' and 'system'; keep one")
        return self

    @property
    def outputs(self) -> tuple[str, ...]:
        """The images made from a running system; empty for an image with a Dockerfile."""
        return self.system.outputs if self.system else ()


class MoromiFile(StrictModel):
    """A whole moromi.yml, after `extends` is merged (see extends.py); `tag` is that of its images
    (see tags.py)."""

    tag: Annotated[str, form(r"\w[\w.-]{0,127}", "a tag for images, such as current")] = LATEST
    sources: dict[SourceName, Source] = Field(default_factory=dict)
    base: Base
    images: dict[ImageName, Image]
    containers: dict[ContainerName, Container]
