"""What the tests of moromi's rooms share."""

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def tree(tmp_path: Path) -> Callable[..., Path]:
    """Write files below a folder of the test's own: `tree({"a/Dockerfile": "FROM scratch"})`."""

    def write(files: dict[str, str], at: str = ".") -> Path:
        for name, text in files.items():
            path = tmp_path / at / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path / at

    return write
