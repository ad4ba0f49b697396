"""What the engine holds of a system, collected once, and how it differs from the declaration.

`observe` asks the engine; everything else here is pure. In Compose's words a system is a project.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from nagoya.config.declaration import Declaration
from nagoya.config.model import Container
from nagoya.engine import Engine, Handle, containers, images, resources
from nagoya.engine.state import State, image_name
from nagoya.errors import LifecycleError

CONFIG_LABEL = "nagoya.config"
"""On a container: a digest of each key that it was declared with, as a JSON object."""
FILE_LABEL = "nagoya.config-file"
"""On a container: the moromi.yml that declared it, an absolute path."""
DATA_LABEL = "nagoya.data"
"""On an image: the paths outside of volumes where its containers keep data, as a JSON list."""
CONFIGURATION_LABEL = "nagoya.configuration"
"""On an image: the files outside of volumes that toji writes later, as a JSON list."""
CERTIFICATES_LABEL = "nagoya.certificates"
"""On an image: the folder with its certificates, one or more of NAME in NAME.crt; those in the
folder `revoked` in it were revoked, others in folders of it are former ones."""
REPLACEMENT = ".new"
"""The end of a container's name while it is about to take another one's place."""
ASIDE = ".old"
"""The end of an old container's name until the system that replaces it is ready."""

_TOJI_KEYS = {"detach", "run_once", "links", "timeout", "callbacks", "restart"}
"""Keys that only toji reads, or can change in an existing container; none needs another
container."""


@dataclass(frozen=True)
class ObservedImage:
    """An image's id, and the paths outside of volumes where its containers keep data."""

    id: str
    data: tuple[str, ...] = ()


@dataclass(frozen=True)
class ObservedSystem:
    """A system's containers by host name, and its other objects on the engine.

    `replacements` are containers that were to take another one's place when toji was cut off, and
    `aside` those that a restore had replaced by then.
    `images` holds those of the declared images that exist, by name; `volumes` the engine's names
    of the system's volumes. `config_file` is the moromi.yml that declared the newest container.
    """

    name: str
    containers: Mapping[str, State]
    images: Mapping[str, ObservedImage]
    volumes: frozenset[str] = frozenset()
    network: bool = False
    replacements: Mapping[str, State] = field(default_factory=dict)
    config_file: Path | None = None
    aside: Mapping[str, State] = field(default_factory=dict)

    @property
    def exists(self) -> bool:
        """Whether the engine holds anything of the system."""
        holds = (self.containers, self.replacements, self.aside, self.volumes, self.network)
        return any(holds)


def observe(engine: Engine, name: str, declaration: Declaration) -> ObservedSystem:
    """Ask the engine for everything it holds of a system. Raises EngineError."""
    handles = containers.list_system(engine, name)
    states = [containers.state(handle, reload=False) for handle in handles]
    states = [state for state in states if state.declared]
    new = {state.name: state for state in states if state.container.endswith(REPLACEMENT)}
    old = {state.name: state for state in states if state.container.endswith(ASIDE)}
    current = {
        state.name: state for state in states if not state.container.endswith((REPLACEMENT, ASIDE))
    }
    present = {}
    for image in sorted({container.image for container in declaration.containers.values()}):
        if details := images.find(engine, image):
            data = data_paths(details["Config"]["Labels"] or {})
            present[image] = ObservedImage(details["Id"], data)
    volumes, network = resources.list_volumes(engine, name), name in resources.list_networks(engine)
    return ObservedSystem(name, current, present, volumes, network, new, config_file(handles), old)


def check_whole(observed: ObservedSystem) -> None:
    """Raise LifecycleError if a restore or an upgrade has replaced containers and not ended."""
    if observed.aside:
        raise LifecycleError(
            f"a restore or an upgrade of '{observed.name}' was interrupted, or is under way",
            f"if it was interrupted, `toji --system {observed.name} up` completes or undoes it",
        )


def config_file(handles: Iterable[Handle]) -> Path | None:
    """The moromi.yml that declared the newest of some containers; None if none records it.

    While containers are replaced, only those that were there before count: they may come back.
    """
    present = [handle for handle in handles if not handle.name.endswith(REPLACEMENT)]
    replaced = [handle for handle in present if handle.name.endswith(ASIDE)]
    newest_first = sorted(replaced or present, key=containers.created, reverse=True)
    files = (containers.label(handle, FILE_LABEL) for handle in newest_first)
    return next((Path(file) for file in files if file), None)


def digests(container: Container) -> dict[str, str]:
    """A short digest of each key of a declaration that shapes the container.

    Keys at their default are left out, so a key that a later toji knows changes nothing.
    """
    declared = container.model_dump(mode="json", exclude_defaults=True, exclude=_TOJI_KEYS)
    return {
        key: hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]
        for key, value in declared.items()
    }


def record(declaration: Declaration, name: str) -> dict[str, str]:
    """The labels that record what a container is created from."""
    return {
        CONFIG_LABEL: json.dumps(digests(declaration.containers[name]), sort_keys=True),
        FILE_LABEL: str(declaration.path),
    }


def differences(observed: ObservedSystem, declaration: Declaration) -> dict[str, list[str]]:
    """How each container differs from what would be created now, a phrase for each difference.

    A container that is up to date, or that is not declared, is not in the result.
    """
    return {
        state.name: phrases
        for name, declared in declaration.containers.items()
        for state in sorted(observed.containers.values(), key=lambda state: state.name)
        if state.declared == name and (phrases := _differences(state, declared, observed))
    }


def _differences(state: State, declared: Container, observed: ObservedSystem) -> list[str]:
    if CONFIG_LABEL not in state.labels:
        return ["created by an older toji, which did not record its settings"]
    phrases = []
    image = observed.images.get(declared.image)
    if image_name(state.image) != image_name(declared.image):
        phrases.append(f"image {state.image}, now {declared.image}")
    elif image is not None and image.id != state.image_id:
        phrases.append(f"an older image {declared.image}")
    recorded, wanted = json.loads(state.labels[CONFIG_LABEL]), digests(declared)
    phrases += [
        f"changed {key}"
        for key in Container.model_fields
        if key != "image" and recorded.get(key) != wanted.get(key)
    ]
    return phrases


def missing(observed: ObservedSystem, declaration: Declaration) -> list[str]:
    """The declared containers of which there is none."""
    present = {state.declared for state in observed.containers.values()}
    return [name for name in declaration.containers if name not in present]


def lost(declaration: Declaration, observed: ObservedSystem) -> list[str]:
    """The containers that are gone with the data that they held."""
    # An interrupted creation leaves neither the container nor any that needs it; a prune of a
    # stopped system leaves no container at all.
    users = [declaration.containers.get(state.declared) for state in observed.containers.values()]
    needed = {name for user in users if user for name in user.needs}
    if not observed.containers:
        needed = set(declaration.containers) if observed.exists else set()
    return [
        name
        for name in missing(observed, declaration)
        if (image := observed.images.get(declaration.containers[name].image))
        and image.data
        and name in needed
        and name not in observed.replacements
    ]


def losses(declaration: Declaration, observed: ObservedSystem) -> list[str]:
    """A sentence for each loss."""
    return [
        f"the container '{name}' is gone, and its data with it, perhaps by `docker container "
        "prune`; the new one starts empty, the volumes are unchanged. `toji --system "
        f"{observed.name} restore --replace FILE` restores everything from a backup"
        for name in lost(declaration, observed)
    ]


def conflicts(observed: ObservedSystem, declaration: Declaration) -> list[str]:
    """A sentence for each container that was started with another volume than its source holds.

    Such containers do not trust each other, or show different files: volumes cannot be changed
    after creation, so one of the two was created again on other data.
    """
    sentences = []
    for name, state in observed.containers.items():
        if declared := declaration.containers.get(state.declared):
            own = {volume.path for volume in declared.volumes}
            sentences += [
                f"{name} was started with another volume at {path} than {source.container} has"
                for source in declared.volumes_from
                for path, volume in volumes_of(source.container, observed, declaration).items()
                if path not in own and state.volumes.get(path, volume) != volume
            ]
    return sentences


def volumes_of(name: str, observed: ObservedSystem, declaration: Declaration) -> dict[str, str]:
    """The volumes of a container by path; of one that is missing, those it would be created on."""
    if name in observed.containers:
        return dict(observed.containers[name].volumes)
    return declared_volumes(observed, declaration.containers[name])


def declared_volumes(observed: ObservedSystem, declared: Container) -> dict[str, str]:
    """The engine's names of a container's own volumes by path."""
    return {volume.path: f"{observed.name}-{volume.name}" for volume in declared.volumes}


def data_paths(labels: Mapping[str, str]) -> tuple[str, ...]:
    """The paths outside of volumes where a container keeps data, by its or its image's labels."""
    return tuple(json.loads(labels.get(DATA_LABEL, "[]")))
