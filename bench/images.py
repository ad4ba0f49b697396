"""How large the images are, and how long they take to build."""

import time
from collections.abc import Iterator

from bench.systems import run
from bench.table import Row
from nagoya.build.steps import build_graph
from nagoya.config import loader
from nagoya.engine import connect


def size_rows() -> Iterator[Row]:
    """Each image's size, and that of all together, where what a parent holds counts once."""
    declared = loader.read(loader.locate(None))
    steps = build_graph(declared).steps
    files = {name: step.file for name, step in steps.items() if step.file}
    client = connect().client.images
    size = {name: client.get(name).attrs["Size"] / 1e6 for name in files}
    base = client.get(declared.base.image).attrs["Size"] / 1e6

    def layers(image: str) -> list[str]:
        return list(client.get(image).attrs["RootFS"]["Layers"])

    yield Row(f"image {declared.base.image}", base, "MB")
    for name in files:
        yield Row(f"image {name}", size[name], "MB")
    # An image's own part is what it has beyond the image that it is made from, if from any.
    bottom = layers(declared.base.image)[0]
    once = base
    for name, file in files.items():
        inherited = size.get(file.parents[0], base) if layers(name)[0] == bottom else 0
        once += size[name] - inherited
    yield Row("all images, what they share once", once, "MB", aim="<= 700 MB")


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
