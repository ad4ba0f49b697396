"""Koji's own unit tests, against what the images have installed: proof that nothing is missing.

Not run are those of what is in no image: kojikamid, the documents, and upstream's check-api.
"""

import io
import tarfile
from pathlib import Path

import pytest

from nagoya.build.context import FOLDER
from nagoya.config.declaration import Declaration
from tests.image.tracked import Containers, outcome

PROGRAM = Path(__file__).with_name("upstream")
TESTS = {
    "koji-hub": "tests/test_{cli,hub,kojira,lib,www} tests/test_plugins/test_*{cli,hub,msg}.py",
    "koji-builder": "tests/test_{builder,lib} tests/test_scm.py tests/test_plugins/*builder*",
}


@pytest.mark.slow
@pytest.mark.parametrize("image", TESTS)
def test_upstream(containers: Containers, declaration: Declaration, image: str) -> None:
    tree = declaration.source_dirs["koji"] / FOLDER / "koji"
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as packed:
        packed.add(PROGRAM, "koji")
        packed.add(tree / "tests", "koji/tests")
    container = containers.create(image, "bash", "-c", f"cd /koji && exec ./run {TESTS[image]}")
    container.put_archive("/", archive.getvalue())
    container.start()
    for part in container.logs(stream=True):
        print(part.decode(), end="")
    assert outcome(container)[0] == 0
