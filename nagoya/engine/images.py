"""Images: thin verbs over Docker's, each with its failure in plain words."""

import docker.errors

from nagoya.engine.connection import Engine
from nagoya.engine.translation import translated


def exists(engine: Engine, name: str) -> bool:
    """Whether the engine has an image of that name."""
    with translated(f"looking for the image {name}"):
        try:
            engine.client.images.get(name)
        except docker.errors.ImageNotFound:
            return False
    return True
