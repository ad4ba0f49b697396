"""A declaration of a test's own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from nagoya.config import loader
from nagoya.config.declaration import Declaration


@pytest.fixture
def declare(tmp_path: Path) -> Callable[..., Declaration]:
    """`declare(server={"links": ["data"]})`: a declaration; each container is of the image tiny."""

    def read(**containers: dict[str, Any]) -> Declaration:
        for image in ("tiny", "other"):
            (tmp_path / image).mkdir(exist_ok=True)
            (tmp_path / image / "Dockerfile").write_text("FROM debian:bookworm-slim\n")
        raw = {
            "base": {"image": "debian:bookworm-slim", "suite": "bookworm"},
            "images": {"tiny": {}, "other": {}},
            "containers": {name: {"image": "tiny", **keys} for name, keys in containers.items()},
        }
        path = tmp_path / "moromi.yml"
        path.write_text(yaml.safe_dump(raw))
        return loader.read(path)

    return read
