"""How large the images are, and how long they take to build."""

import time
from collections.abc import Iterator

from bench.systems import run
from bench.table import Row
from nagoya.build.steps import build_graph
from nagoya.config import loader
from nagoya.config.declaration import Declaration
from nagoya.config.tags import untagged
from nagoya.engine import connect

BASE, ALL = "base", "all"


def size_rows() -> Iterator[Row]:
    """Each image's size, and that of all together."""
    declared = loader.read(loader.locate(None))
    size = sizes(declared)
    together = size.pop(ALL)
    yield Row(f"image {declared.base.image}", size.pop(BASE), "MB")
    for name, value in size.items():
        yield Row(f"image {name}", value, "MB")
    yield Row("all images, what they share once", together, "MB", aim="<= 700 MB")


def sizes(declared: Declaration) -> dict[str, float]:
    """MB of the image BASE, of each other by its name without the tag, and of ALL together, where
    what a parent holds counts once."""
    steps = build_graph(declared).steps
    files = {name: step.file for name, step in steps.items() if step.file}
    client = connect().client.images
    size = {name: client.get(name).attrs["Size"] / 1e6 for name in files}
    base = client.get(declared.base.image).attrs["Size"] / 1e6

    def layers(image: str) -> list[str]:
        return list(client.get(image).attrs["RootFS"]["Layers"])

    # An image's own part is what it has beyond the image that it is made from, if from any.
    bottom = layers(declared.base.image)[0]
    once = base
    for name, file in files.items():
        inherited = size.get(file.parents[0], base) if layers(name)[0] == bottom else 0
        once += size[name] - inherited
    own = {untagged(name, declared.tag): value for name, value in size.items()}
    return {BASE: base, **own, ALL: once}


def build_image_rows() -> Iterator[Row]:
    """Building all images: from nothing but the base, and once more with nothing changed."""
    everything = _seconds("moromi", "build", "--quiet", "--no-cache")
    unchanged = min(_seconds("moromi", "build", "--quiet") for _ in range(3))
    yield Row("build of all images from the base", everything, "s")
    yield Row(
        "unchanged rebuild of all images", unchanged, "s", everything, "from the base", "<= 3 s"
    )


def _seconds(*command: str) -> float:
    start = time.monotonic()
    run(*command)
    return time.monotonic() - start
