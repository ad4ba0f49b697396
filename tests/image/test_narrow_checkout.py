"""Images built with `docker build` from a checkout that was made under umask 077."""

import io
import tarfile
import uuid
from pathlib import Path

import docker
import pytest

from nagoya.build import dockerfile
from nagoya.config.tags import ARGUMENT
from tests.image.tracked import Containers


def narrow_context(checkout: Path, image: str) -> io.BytesIO:
    """What the Dockerfile copies, with the modes that such a checkout has."""
    path = checkout / image / "Dockerfile"
    copied = {checkout / name for copy in dockerfile.read(path).copied for name in [copy.path]}
    files = {
        file
        for start in copied
        for match in checkout.glob(str(start.relative_to(checkout)))
        for file in ([match] if match.is_file() else match.rglob("*"))
        if file.is_file()
    }
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for file in sorted({path, *files}):
            if "__pycache__" in file.parts:
                continue
            member = tarfile.TarInfo(str(file.relative_to(checkout)))
            member.mode, member.size = 0o600, file.stat().st_size
            with file.open("rb") as content:
                archive.addfile(member, content)
    stream.seek(0)
    return stream


@pytest.mark.parametrize(
    ("image", "user"),
    [
        ("koji-top-volume", "www-data"),
        ("koji-credentials-volume", "www-data"),
        ("koji-database", "postgres"),
        ("koji-hub", "www-data"),
    ],
)
def test_everybody_can_read_the_scripts(
    engine: docker.DockerClient, containers: Containers, checkout: Path, image: str, user: str
) -> None:
    name = f"nagoya-test-{uuid.uuid4().hex[:8]}"
    tag = f"{name}:{containers.tag}"
    engine.images.build(
        fileobj=narrow_context(checkout, image),
        custom_context=True,
        dockerfile=f"{image}/Dockerfile",
        tag=tag,
        buildargs={ARGUMENT: containers.tag},
        rm=True,
    )
    try:
        search = ["find", "/usr/lib/nagoya", "!", "-readable"]
        assert containers.finish(name, *search, user=user) == (0, "")
    finally:
        containers.remove_all()
        engine.images.remove(tag, force=True)
