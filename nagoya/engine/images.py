"""Images: thin verbs over Docker's, each with its failure in plain words."""

import json
import queue
import re
import threading
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import IO, Any

import docker.errors
import urllib3.exceptions

from nagoya.engine import containers
from nagoya.engine.client import Engine, Handle
from nagoya.engine.translation import translated
from nagoya.errors import EngineError

IMAGE_LABEL = "nagoya.image"
"""On every image that moromi makes: its name."""
CHECKOUT_LABEL = "nagoya.checkout"
"""On every image that moromi builds: a digest of the path of its build context."""
INPUTS_LABEL = "nagoya.inputs"
"""On every image that moromi builds: the digest of all that it was built from."""
PARTS_LABEL = "nagoya.inputs.parts"
"""On every image built from a Dockerfile: what it was built from (see build/planner.py)."""

CREATED_LABEL, SOURCE_LABEL, TITLE_LABEL, VERSION_LABEL = (
    f"org.opencontainers.image.{key}" for key in ("created", "source", "title", "version")
)
_LABELS = (
    *(CHECKOUT_LABEL, IMAGE_LABEL, INPUTS_LABEL, PARTS_LABEL),
    *(CREATED_LABEL, SOURCE_LABEL, TITLE_LABEL, VERSION_LABEL),
)
"""All labels of an image that moromi builds, in the order in which Docker makes them its last
steps. Whatever is built on such an image inherits the labels, but has other last steps."""

SYSTEM_COMMENT = "Made by moromi from a running system"
"""What the history of a committed image says in its last step."""

# A registry that cannot be reached may keep the engine trying for many minutes.
_REGISTRY_SECONDS = 10.0
_PULL_SECONDS = 120.0


def find(engine: Engine, name: str) -> dict[str, Any] | None:
    """All that the engine says of the image of that name, or None where there is none."""
    with translated(f"looking for the image {name}"):
        try:
            attributes: dict[str, Any] = engine.client.api.inspect_image(name)  # type: ignore[no-untyped-call]
            return attributes
        except docker.errors.ImageNotFound:
            return None


def image_id(engine: Engine, name: str) -> str | None:
    """The id of the image of that name, or None where there is none."""
    attributes = find(engine, name)
    return str(attributes["Id"]) if attributes else None


def inspect(engine: Engine, image: str) -> dict[str, Any]:
    """All that the engine says of an image; raises EngineError where there is none."""
    with translated(f"looking at the image {image}"):
        attributes: dict[str, Any] = engine.client.api.inspect_image(image)  # type: ignore[no-untyped-call]
        return attributes


def exists(engine: Engine, name: str) -> bool:
    """Whether the engine has an image of that name."""
    return image_id(engine, name) is not None


def built(engine: Engine, names: Collection[str]) -> dict[tuple[str, str], str]:
    """The ids of the images that moromi built from Dockerfiles, tagged or not: by name, inputs."""
    ids: dict[tuple[str, str], str] = {}
    with translated("listing images"):
        found = engine.client.api.images(all=True, filters={"label": PARTS_LABEL})
        # Whatever is built on an image inherits its labels, and is younger.
        for image in sorted(found, key=lambda image: int(image["Created"])):
            key = (image["Labels"].get(IMAGE_LABEL, ""), image["Labels"].get(INPUTS_LABEL, ""))
            if key[0] in names and key not in ids and _made_by_moromi(engine, image["Id"]):
                ids[key] = str(image["Id"])
    return ids


def built_together(engine: Engine, names: Collection[str], inputs: str) -> bool:
    """Whether these names are those of images that moromi made at one time, from these inputs."""
    created = set()
    for name in names:
        if not exists(engine, name):
            return False
        labels = inspect(engine, name)["Config"]["Labels"] or {}
        if (labels.get(IMAGE_LABEL), labels.get(INPUTS_LABEL)) != (name, inputs):
            return False
        with translated(f"looking at the image {name}"):
            if not _made_by_moromi(engine, name):
                return False
        created.add(labels.get(CREATED_LABEL))
    return len(created) == 1


def tag(engine: Engine, image: str, name: str) -> None:
    """Give an image a name, which another image may have had."""
    with translated(f"naming an image {name}"):
        engine.client.api.tag(image, *_repository_and_tag(name), force=True)


def pull(engine: Engine, name: str, heard: Callable[[str], None]) -> None:
    """Have the engine fetch an image; raises EngineError if no registry answers within 10 s."""
    events: queue.SimpleQueue[dict[str, Any] | Exception | None] = queue.SimpleQueue()

    def listen() -> None:
        try:
            repository, tag = _repository_and_tag(name)
            for event in engine.client.api.pull(repository, tag, stream=True, decode=True):
                events.put(event)
            events.put(None)
        except Exception as error:
            events.put(error)

    # A thread of its own, since the SDK's call has no timeout and takes none.
    threading.Thread(target=listen, daemon=True).start()
    patience = _REGISTRY_SECONDS
    with translated(f"pulling {name}"):
        while True:
            try:
                event = events.get(timeout=patience)
            except queue.Empty:
                raise EngineError(f"pulling {name}: no registry answers") from None
            if event is None:
                return
            if isinstance(event, Exception):
                raise event
            if "error" in event:
                raise docker.errors.DockerException(event["error"])
            heard(" ".join(str(event[key]) for key in ("status", "id", "progress") if key in event))
            patience = _PULL_SECONDS


def commit(container: Handle, labels: Mapping[str, str]) -> str:
    """Make an image, without a name, of a container's file system; its id.

    Containers of it start as those of the container's own image do.
    """
    made_of = inspect(container.engine, container.docker.attrs["Image"])["Config"]
    changes = commit_changes(container.docker.attrs["Config"], made_of, labels)
    with translated(f"committing {container.name}"):
        made = container.docker.commit(message=SYSTEM_COMMENT, changes=changes)
        return str(made.id)


def commit_changes(
    own: Mapping[str, Any], image: Mapping[str, Any], labels: Mapping[str, str]
) -> list[str]:
    """What a commit has to change for the configuration to be the image's again, with `labels`.

    A commit keeps a container's variables and labels. They cannot be removed, but set to nothing,
    which counts as unset in Nagoya.
    """

    def quoted(text: str) -> str:
        return '"' + re.sub(r'(["\\\\$])', r"\\\1", text) + '"'

    def variables(config: Mapping[str, Any]) -> dict[str, str]:
        return dict(entry.partition("=")[::2] for entry in config.get("Env") or ())

    present, original = variables(own), variables(image)
    lines = [
        f"ENV {name}={quoted(original.get(name, ''))}"
        for name, value in present.items()
        if original.get(name) != value
    ]
    present, original = own.get("Labels") or {}, image.get("Labels") or {}
    wanted = {**dict.fromkeys(present, ""), **original, **labels}
    lines += [
        f"LABEL {quoted(name)}={quoted(value)}"
        for name, value in wanted.items()
        if present.get(name) != value
    ]
    if own.get("Cmd") != image.get("Cmd"):
        lines.append(f"CMD {json.dumps(image.get('Cmd') or [])}")
    return lines


def build_child(
    engine: Engine, name: str, parent: str, context: Iterable[bytes], labels: Mapping[str, str]
) -> Iterator[str]:
    """Build an image from a context, and yield the lines that the build prints.

    It bears all the labels by which moromi knows its images, its parent's unless `labels` has them.
    """
    inherited = inspect(engine, parent)["Config"]["Labels"] or {}
    every = {**{label: inherited.get(label, "") for label in _LABELS}, **labels}
    return build(engine, name, context, "Dockerfile", labels=every, arguments={}, no_cache=False)


def remove_unnamed(engine: Engine, image: str) -> None:
    """Remove an image by its id unless it has got a name."""
    if not inspect(engine, image)["RepoTags"]:
        with translated(f"removing the image {image}"):
            engine.client.api.remove_image(image)


def import_tar(engine: Engine, tar: IO[bytes], name: str, changes: Sequence[str]) -> None:
    """Make an image of one layer, its root, and with `changes` as a Dockerfile has them."""
    repository, tag = _repository_and_tag(name)
    with translated(f"importing {name}"):
        answer = engine.client.api.import_image(
            src=tar, repository=repository, tag=tag, changes=list(changes)
        )
        if "errorDetail" in answer:
            raise docker.errors.DockerException(answer)


def build(
    engine: Engine,
    name: str,
    context: Iterable[bytes],
    dockerfile: str,
    *,
    labels: Mapping[str, str],
    arguments: Mapping[str, str],
    no_cache: bool,
) -> Generator[str, None, None]:
    """Build an image and yield the lines that the build prints; it gets its name at the very end.

    Closing the iterator cancels the build. The labels are the last steps, and so cost no other step
    its place in the engine's cache.
    """
    done = False
    with translated(f"building {name}"):
        try:
            for event in engine.client.api.build(
                fileobj=context,  # type: ignore[arg-type]  # requests sends any iterable
                custom_context=True,
                dockerfile=dockerfile,
                tag=name,
                labels=dict(labels),
                buildargs=dict(arguments),
                nocache=no_cache,
                rm=True,
                forcerm=True,
                decode=True,
            ):
                if "error" in event:
                    raise docker.errors.DockerException(event["error"].strip())
                text = event.get("stream", "")
                done = done or text.startswith("Successfully tagged")
                yield from (line for line in text.splitlines() if line.strip())
        except urllib3.exceptions.HTTPError as error:
            raise ConnectionError(str(error)) from error
        if not done:
            raise ConnectionError("the build ended without a word")


@dataclass(frozen=True)
class UntaggedImage:
    """An image that lost its name to a newer one; `used_by` are containers made from it."""

    id: str
    name: str
    created: datetime
    used_by: tuple[str, ...]


def untagged(engine: Engine, checkouts: Collection[str]) -> list[UntaggedImage]:
    """The untagged images that moromi built in these checkouts, by the value of CHECKOUT_LABEL."""
    images = []
    with translated("listing untagged images"):
        for image in engine.client.api.images(filters={"dangling": True, "label": CHECKOUT_LABEL}):
            labels = image["Labels"]
            if labels[CHECKOUT_LABEL] not in checkouts or not _made_by_moromi(engine, image["Id"]):
                continue
            images.append(
                UntaggedImage(
                    image["Id"],
                    labels.get(IMAGE_LABEL, ""),
                    datetime.fromtimestamp(int(image["Created"]), UTC),
                    tuple(containers.users_of(engine, image["Id"])),
                )
            )
    return images


def remove_untagged(engine: Engine, image: str) -> int | None:
    """Remove an untagged image; the bytes that it freed, or None if it is in use after all."""
    with translated(f"removing the image {image}"):
        try:
            sizes = {step["Id"]: int(step["Size"]) for step in _history(engine, image)}
            answer = engine.client.api.remove_image(image)
        except docker.errors.ImageNotFound:
            return 0
        except docker.errors.APIError as error:
            if error.status_code != HTTPStatus.CONFLICT:
                raise
            return None
    return sum(sizes.get(event["Deleted"], 0) for event in answer if "Deleted" in event)


def _made_by_moromi(engine: Engine, image: str) -> bool:
    """Whether its own last steps are moromi's: labels alone may come from a parent image."""
    history = _history(engine, image)
    last_steps = [step["CreatedBy"] for step in reversed(history[: len(_LABELS)])]
    return history[0]["Comment"].startswith(("Imported from", SYSTEM_COMMENT)) or (
        len(last_steps) == len(_LABELS)
        and all(f"LABEL {label}=" in step for label, step in zip(_LABELS, last_steps, strict=True))
    )


def _history(engine: Engine, image: str) -> list[dict[str, Any]]:
    history: list[dict[str, Any]] = engine.client.api.history(image)  # type: ignore[no-untyped-call]
    return history


def _repository_and_tag(name: str) -> tuple[str, str]:
    # A colon further to the left is that of a registry's port.
    found = re.fullmatch(r"(.+?)(?::([\w.-]+))?", name)
    assert found
    return found[1], found[2] or "latest"
