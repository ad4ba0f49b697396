"""The images on the engine: thin verbs over Docker's, each with its failure in plain words."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import docker.errors

from nagoya.engine import containers, transfer
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
MOROMI_LABELS = (
    *(CHECKOUT_LABEL, IMAGE_LABEL, INPUTS_LABEL, PARTS_LABEL),
    *(CREATED_LABEL, SOURCE_LABEL, TITLE_LABEL, VERSION_LABEL),
)
"""All labels of an image that moromi builds, in the order in which Docker makes them its last
steps. Whatever is built on such an image inherits the labels, but has other last steps."""

SYSTEM_COMMENT = "Made by moromi from a running system"
"""What the history of a committed image says in its last step."""


def find(engine: Engine, name: str) -> dict[str, Any] | None:
    """The engine's description of an image, or None if there is none of that name."""
    with translated(f"looking for the image {name}"):
        try:
            attributes: dict[str, Any] = engine.client.api.inspect_image(name)  # type: ignore[no-untyped-call]
            return attributes
        except docker.errors.ImageNotFound:
            return None


def image_id(engine: Engine, name: str) -> str | None:
    """The id of an image, or None if there is none of that name."""
    attributes = find(engine, name)
    return str(attributes["Id"]) if attributes else None


def inspect(engine: Engine, image: str) -> dict[str, Any]:
    """The engine's description of an image. Raises EngineError if there is none of that name."""
    with translated(f"looking at the image {image}"):
        attributes: dict[str, Any] = engine.client.api.inspect_image(image)  # type: ignore[no-untyped-call]
        return attributes


def exists(engine: Engine, name: str) -> bool:
    """Whether the engine has an image of that name."""
    return image_id(engine, name) is not None


def name_and_inputs(engine: Engine, attributes: Mapping[str, Any]) -> tuple[str, str] | None:
    """What moromi built an image as, and from; None if it did not build it from a Dockerfile."""
    labels = attributes["Config"]["Labels"] or {}
    with translated(f"looking at the image {attributes['Id']}"):
        if PARTS_LABEL not in labels or not _made_by_moromi(engine, attributes["Id"]):
            return None
    return labels.get(IMAGE_LABEL, ""), labels.get(INPUTS_LABEL, "")


def built(engine: Engine, names: Collection[str]) -> dict[tuple[str, str], str]:
    """The ids of the images that moromi built from Dockerfiles, tagged or not: by name, inputs.

    An engine with the containerd image store may take some seconds.
    """
    ids: dict[tuple[str, str], str] = {}
    with translated("listing images"):
        listed = engine.client.api.images(all=True, filters={"label": PARTS_LABEL})
        # An image's children inherit its labels, and are younger.
        for image in sorted(listed, key=lambda image: int(image["Created"])):
            key = (image["Labels"].get(IMAGE_LABEL, ""), image["Labels"].get(INPUTS_LABEL, ""))
            if key[0] in names and key not in ids and _made_by_moromi(engine, image["Id"]):
                ids[key] = str(image["Id"])
    return ids


def built_together(engine: Engine, names: Collection[str], inputs: str) -> bool:
    """Whether all these images exist and were made from these inputs by one build."""
    created = set()
    for name in names:
        image = find(engine, name)
        labels = image["Config"]["Labels"] or {} if image else {}
        if (labels.get(IMAGE_LABEL), labels.get(INPUTS_LABEL)) != (name, inputs):
            return False
        with translated(f"looking at the image {name}"):
            if not _made_by_moromi(engine, name):
                return False
        created.add(labels.get(CREATED_LABEL))
    return len(created) == 1


def read_file(engine: Engine, image: str, path: str) -> bytes | None:
    """The content of a file in an image, or None if there is none."""
    with translated(f"reading {path} in {image}"):
        container = Handle(engine, engine.client.containers.create(image, ["-"]))
        try:
            return transfer.read_file(container, path)
        except EngineError as error:
            if isinstance(error.__cause__, docker.errors.NotFound):
                return None
            raise
        finally:
            containers.remove(container)


def tag(engine: Engine, image: str, name: str) -> None:
    """Name an image; another image of that name loses it."""
    with translated(f"naming an image {name}"):
        engine.client.api.tag(image, *repository_and_tag(name), force=True)


def remove_unnamed(engine: Engine, image: str) -> None:
    """Remove an image by its id unless it has a name."""
    if not inspect(engine, image)["RepoTags"]:
        with translated(f"removing the image {image}"):
            engine.client.api.remove_image(image)


@dataclass(frozen=True)
class UntaggedImage:
    """An image that lost its name to a newer one; `used_by` names its containers, each with
    its system."""

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
                    tuple(
                        sorted(
                            containers.name_with_system(listed)
                            for listed in engine.client.api.containers(all=True)
                            if listed["ImageID"] == image["Id"]
                        )
                    ),
                )
            )
    return images


def remove_untagged(engine: Engine, image: str) -> int | None:
    """Remove an untagged image, and return the bytes that it freed, or None if it is in use."""
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
    """Whether an image's own last steps are moromi's: its labels may be a parent's."""
    history = _history(engine, image)
    last_steps = [step["CreatedBy"] for step in reversed(history[: len(MOROMI_LABELS)])]
    return history[0]["Comment"].startswith(("Imported from", SYSTEM_COMMENT)) or (
        len(last_steps) == len(MOROMI_LABELS)
        and all(
            f"LABEL {label}=" in step for label, step in zip(MOROMI_LABELS, last_steps, strict=True)
        )
    )


def _history(engine: Engine, image: str) -> list[dict[str, Any]]:
    history: list[dict[str, Any]] = engine.client.api.history(image)  # type: ignore[no-untyped-call]
    return history


def repository_and_tag(name: str) -> tuple[str, str]:
    """The two parts of an image's name; the second may be a digest."""
    # A colon further to the left is that of a registry's port.
    match = re.fullmatch(r"(.+?)(?:@(sha256:[0-9a-f]{64})|:([\w.-]+))?", name)
    assert match
    return match[1], match[2] or match[3] or "latest"
