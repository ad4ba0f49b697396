"""What a backup and a restore take of the disk, and what happens if it is full."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from nagoya.config.declaration import Declaration
from nagoya.engine import connect
from tests.engines import Bridge, Engine
from tests.system.conftest import PROGRAMS, Koji

SIZE = 400
"""MiB of a file in the top directory."""


@pytest.fixture(scope="module")
def large(start: Callable[..., Koji]) -> Koji:
    """A system that holds a large file, which cannot be compressed."""
    koji = start("large")
    write = f"head -c {SIZE}M /dev/urandom >/mnt/koji/packages/large"
    koji.toji("exec", "koji", "sh", "-c", write)
    return koji


@pytest.fixture
def small(tmp_path: Path, declaration: Declaration) -> Iterator[Engine]:
    """An engine whose disk has room for a system, and not for the large file too."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8g", "tmpfs", disk], check=True)
    try:
        with Bridge() as bridge, Engine("small", bridge, options={"data-root": str(disk)}) as small:
            images = {each.image for each in declaration.containers.values()}
            small.load(connect().address, *images)
            command = ["du", "--summarize", "--block-size=1M", disk]
            used = int(subprocess.check_output(command, text=True).split()[0])
            size = f"remount,size={used + SIZE // 2}m"
            subprocess.run(["mount", "-o", size, disk], check=True)
            yield small
    finally:
        subprocess.run(["umount", disk], check=True)


def stored(koji: Koji) -> int:
    """MiB on the engine's disk: of the top directory's volume, and of all containers."""
    volume = koji.toji("exec", "koji", "du", "--summarize", "--block-size=1M", "/mnt/koji").stdout
    label = {"label": f"nagoya.system={koji.system}"}
    present = connect().client.api.containers(all=True, size=True, filters=label)
    return int(volume.split()[0]) + sum(each.get("SizeRw", 0) for each in present) // (1 << 20)


@pytest.mark.slow
def test_neither_a_backup_nor_a_failed_restore_takes_the_disk(
    large: Koji, small: Engine, tmp_path: Path
) -> None:
    before = stored(large)
    file = tmp_path / "koji.tar"
    process = subprocess.Popen(
        [PROGRAMS / "toji", "--system", large.system, "backup", "-"],
        env={**os.environ, "HOME": str(large.home), "DOCKER_HOST": connect().address},
        stdout=subprocess.PIPE,
    )
    assert process.stdout
    file.touch(0o600)
    with file.open("wb") as archive:
        while file.stat().st_size < SIZE // 2 << 20:
            assert archive.write(process.stdout.read(1 << 20)), "the backup has ended early"
        # A backup that is read slowly does not lock the hub for toji and the engine.
        assert large.status()["koji"]["state"] == "running"
        assert stored(large) < before + SIZE // 2, "the backup copies the top directory"
        shutil.copyfileobj(process.stdout, archive)
    assert process.wait() == 0

    other = replace(large, system="small", environment={"DOCKER_HOST": small.address})
    refused = other.toji("restore", str(file), check=False)
    assert refused.status == 4
    assert "no space left on device\n  hint: the disk of the engine is full" in refused.stderr
    assert not small.run("docker", "ps", "--all", "--quiet")
    assert not small.run("docker", "volume", "ls", "--quiet")
