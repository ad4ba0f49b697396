"""The tag of the images that a moromi.yml declares.

Two files with different tags build images side by side. moromi gives the tag to each Dockerfile as
the build argument MOROMI_TAG, for `FROM koji-base:${MOROMI_TAG}`.
"""

from collections.abc import Mapping
from typing import TypeVar

from nagoya.config.model import LATEST, Container, MoromiFile, Provisioner

ARGUMENT = "MOROMI_TAG"
_Runs = TypeVar("_Runs", Container, Provisioner)


def reference(image: str, tag: str) -> str:
    """The engine's name of a declared image; Docker adds `latest` itself."""
    return image if tag == LATEST else f"{image}:{tag}"


def untagged(reference: str, tag: str) -> str:
    """The name of a declared image, from the engine's name of it."""
    return reference.removesuffix(f":{tag}")


def with_tag(file: MoromiFile) -> MoromiFile:
    """The file with the engine's names of the images that it declares."""
    if file.tag == LATEST:
        return file

    def tagged(names: Mapping[str, str]) -> dict[str, str]:
        return {container: reference(image, file.tag) for container, image in names.items()}

    def on_tagged(runs: _Runs) -> _Runs:
        return runs.model_copy(update={"image": reference(runs.image, file.tag)})

    images = {}
    for name, image in file.images.items():
        if system := image.system:
            root = system.root and on_tagged(system.root)
            outputs = {"commit": tagged(system.commit), "persist": tagged(system.persist)}
            system = system.model_copy(update={"root": root, **outputs})
            images[name] = image.model_copy(update={"system": system})
        else:
            folder = {"folder": image.folder or name}
            images[reference(name, file.tag)] = image.model_copy(update=folder)
    containers = {name: on_tagged(container) for name, container in file.containers.items()}
    return file.model_copy(update={"images": images, "containers": containers})
