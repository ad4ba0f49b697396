"""Images: thin verbs over Docker's, each with its failure in plain words."""

import queue
import re
import threading
from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from typing import IO, Any

import docker.errors
import urllib3.exceptions

from nagoya.engine import containers
from nagoya.engine.client import Engine, Handle
from nagoya.engine.translation import translated
from nagoya.errors import EngineError

IMAGE_LABEL = "nagoya.image"
"""On every image that moromi makes: its name."""
INPUTS_LABEL = "nagoya.inputs"
"""On every image that moromi builds: the digest of all that it was built from."""

CREATED_LABEL, SOURCE_LABEL, TITLE_LABEL, VERSION_LABEL = (
    f"org.opencontainers.image.{key}" for key in ("created", "source", "title", "version")
)
_LABELS = (IMAGE_LABEL, INPUTS_LABEL, CREATED_LABEL, SOURCE_LABEL, TITLE_LABEL, VERSION_LABEL)
"""All labels of an image that moromi builds, in the order in which Docker makes them its last
steps. Whatever is built on such an image inherits the labels, but has other last steps."""

LIVE_COMMENT = "Made by moromi of a live system"
"""What the history of such an image says in its last step."""

# A registry that cannot be reached may keep the engine trying for many minutes.
_REGISTRY_SECONDS = 10.0
_PULL_SECONDS = 120.0
_CHUNK = 1 << 20


def image_id(engine: Engine, name: str) -> str | None:
    """The id of the image of that name, or None where there is none."""
    with translated(f"looking for the image {name}"):
        try:
            return str(engine.client.images.get(name).id)
        except docker.errors.ImageNotFound:
            return None


def inspect(engine: Engine, image: str) -> dict[str, Any]:
    """All that the engine says of an image; raises EngineError where there is none."""
    with translated(f"looking at the image {image}"):
        attributes: dict[str, Any] = engine.client.api.inspect_image(image)  # type: ignore[no-untyped-call]
        return attributes


def exists(engine: Engine, name: str) -> bool:
    """Whether the engine has an image of that name."""
    return image_id(engine, name) is not None


def find_by_inputs(engine: Engine, name: str, inputs: str) -> str | None:
    """The id of the image that moromi built as `name` from these inputs, tagged or not."""
    labels = [f"{IMAGE_LABEL}={name}", f"{INPUTS_LABEL}={inputs}"]
    with translated(f"looking for an image {name}"):
        found = engine.client.api.images(all=True, filters={"label": labels})
        # Whatever is built on an image inherits its labels, and is younger.
        for image in sorted(found, key=lambda image: int(image["Created"])):
            if _made_by_moromi(engine, image["Id"]):
                return str(image["Id"])
    return None


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


def commit(container: Handle) -> str:
    """Make an image, without a name, of a container's file system; its id."""
    with translated(f"committing {container.name}"):
        return str(container.docker.commit(message=LIVE_COMMENT).id)


def save(engine: Engine, images: Sequence[str], output: IO[bytes]) -> None:
    """Write an archive of images."""
    api = engine.client.api
    with translated("saving images"):
        # The SDK's own call takes one image alone, and what several share would be there often.
        address = f"{api.base_url}/v{api.api_version}/images/get"
        with api.get(address, params={"names": list(images)}, stream=True) as answer:
            answer.raise_for_status()
            for chunk in answer.iter_content(_CHUNK):
                output.write(chunk)


def load(engine: Engine, archive: IO[bytes]) -> None:
    """Take in the images of an archive, each under the name that it has there."""
    with translated("loading images"):
        for event in engine.client.api.load_image(archive):  # type: ignore[no-untyped-call]
            if "error" in event:
                raise docker.errors.DockerException(event["error"])


def remove(engine: Engine, image: str) -> None:
    """Remove an image, or only its name where others stand on it."""
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


def remove_untagged(engine: Engine) -> tuple[list[tuple[str, int]], list[tuple[str, str]]]:
    """Remove the images that moromi built and that have lost their name to a newer one.

    Returns those removed, each with the bytes that it freed, and those kept, each with the reason.
    """
    removed, kept = [], []
    with translated("looking for untagged images"):
        found = engine.client.api.images(filters={"dangling": True, "label": IMAGE_LABEL})
        for image in found:
            label = f"{image['Labels'][IMAGE_LABEL]} {image['Id'].removeprefix('sha256:')[:12]}"
            try:
                if not _made_by_moromi(engine, image["Id"]):
                    continue
                sizes = {step["Id"]: int(step["Size"]) for step in _history(engine, image["Id"])}
                answer = engine.client.api.remove_image(image["Id"])
            except docker.errors.ImageNotFound:
                continue
            except docker.errors.APIError as error:
                if error.status_code != 409:
                    raise
                users = ", ".join(containers.users_of(engine, image["Id"]))
                reason = f"{users} runs of it" if users else "another image is built on it"
                kept.append((label, reason))
                continue
            gone = [event["Deleted"] for event in answer if "Deleted" in event]
            removed.append((label, sum(sizes.get(layer, 0) for layer in gone)))
    return removed, kept


def _made_by_moromi(engine: Engine, image: str) -> bool:
    """Whether its own last steps are moromi's: labels alone may come from a parent image."""
    history = _history(engine, image)
    last_steps = [step["CreatedBy"] for step in reversed(history[: len(_LABELS)])]
    return history[0]["Comment"].startswith(("Imported from", LIVE_COMMENT)) or (
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
