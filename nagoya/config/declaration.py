"""A moromi.yml, read and validated: a frozen value."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Protocol

from nagoya.config import callbacks, tags
from nagoya.config.model import Base, Container, Event, Image, Source
from nagoya.config.values import Port
from nagoya.errors import LifecycleError, NagoyaError


class Named(Protocol):
    """What a callback gets: a container of a system (nagoya.system.container.SystemContainer)."""

    @property
    def name(self) -> str:
        """Its host name."""


@dataclass(frozen=True)
class Declaration:
    """A validated moromi.yml, merged with those that it extends.

    `files` begins with the file that was asked for; each extends the next. Names of images have the
    `tag`, unless it is `latest`. `source_dirs` has for each source the folder in which it is
    src/NAME, `contexts` for each image its build context (apart from src/), and `system_files` for
    each image made from a running system the file whose containers are started.
    """

    files: tuple[Path, ...]
    tag: str
    base: Base
    sources: Mapping[str, Source]
    images: Mapping[str, Image]
    containers: Mapping[str, Container]
    source_dirs: Mapping[str, Path]
    contexts: Mapping[str, Path]
    system_files: Mapping[str, Path]

    @property
    def path(self) -> Path:
        """The file that was asked for."""
        return self.files[0]

    @property
    def arguments(self) -> dict[str, str]:
        """The build arguments that Dockerfiles get if they declare them."""
        base = {"MOROMI_BASE": self.base.image, "MOROMI_SUITE": self.base.suite}
        return {tags.ARGUMENT: self.tag, **base}

    @cached_property
    def produced_by(self) -> Mapping[str, str]:
        """For each image made from a running system, the entry of `images` that makes it."""
        return {output: name for name, image in self.images.items() for output in image.outputs}

    def dockerfile(self, image: str) -> Path:
        """The path of an image's Dockerfile."""
        return self.contexts[image] / (self.images[image].folder or image) / "Dockerfile"

    def with_free_ports(self) -> "Declaration":
        """The same with free host ports only: another system may have the fixed ones."""
        containers = {
            name: container.model_copy(
                update={"ports": tuple(Port(container=port.container) for port in container.ports)}
            )
            for name, container in self.containers.items()
        }
        return replace(self, containers=containers)

    def with_images(self, references: Mapping[str, str]) -> "Declaration":
        """The same with other references for the images of containers, by their names."""
        containers = {
            name: container.model_copy(update={"image": references[container.image]})
            for name, container in self.containers.items()
        }
        return replace(self, containers=containers)

    def call(self, callback: str, event: Event, container: Named) -> None:
        """Call a callback with its container. Raises LifecycleError if it fails."""
        failure = f"the callback {callback} failed at {event} of {container.name}"
        try:
            callbacks.load(callback, callback_folders(self.files))(container)
        except NagoyaError as error:
            raise LifecycleError(
                f"{failure}: {error.message}", error.hint, exit_code=error.exit_code
            ) from error
        except (Exception, SystemExit) as error:
            reason = f"{type(error).__name__}: {error}".removesuffix(": ")
            raise LifecycleError(f"{failure}: {reason}", "--debug shows where") from error


def callback_folders(files: tuple[Path, ...]) -> tuple[Path, ...]:
    """Where modules of callbacks are looked for first: beside each file."""
    return tuple(dict.fromkeys(file.parent for file in files))
