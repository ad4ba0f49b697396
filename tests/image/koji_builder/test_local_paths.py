"""Where koji-builder's own Koji keeps its copies of the hub's files."""

import pytest
from docker.models.containers import Container

from tests.image.tracked import Containers, execute

# As a task does it; prints the copy's path. The URL is of nobody: a copy needs no download.
COPY = """
import sys, os, types, koji, koji.tasks
options = types.SimpleNamespace(topurl=sys.argv[2], topdir="/mnt/koji")
task = types.SimpleNamespace(options=options, workdir="/tmp/tasks/1", logger=None)
try:
    print(koji.tasks.BaseTaskHandler.localPath(task, sys.argv[1]))
except koji.GenericError as refusal:
    sys.exit(str(refusal))
"""
NOBODY = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def idle(module_containers: Containers) -> Container:
    return module_containers.start("koji-builder", "sleep", "infinity")


@pytest.mark.parametrize("topurl", [NOBODY, ""])
@pytest.mark.parametrize(
    "path",
    [
        "work/a/evil?/../../../../../../tmp/victim/file",
        "work/a/evil#/../../../../../../tmp/victim/file",
        "work/../../../victim/file",
        "work/%2e%2e/victim/file",
        "work/..",
    ],
)
def test_a_path_that_leads_elsewhere_is_refused(idle: Container, path: str, topurl: str) -> None:
    status, output = execute(idle, "python3", "-c", COPY, path, topurl)
    assert status == 1
    assert output.strip() == f"the hub has no file of such a path: {path!r}"
    assert execute(idle, "test", "-e", "/tmp/victim")[0] == 1


def test_the_names_of_rpms_are_paths(idle: Container) -> None:
    path = "work/cli-build/1.5/libstdc++..x-1.0~rc1^git-1.src.rpm"
    make = f"mkdir -p /tmp/tasks/1/local/$(dirname {path}); touch /tmp/tasks/1/local/{path}"
    assert execute(idle, "sh", "-c", make) == (0, "")
    copied = execute(idle, "python3", "-c", COPY, path, NOBODY)
    assert copied == (0, f"/tmp/tasks/1/local/{path}\n")
    assert execute(idle, "python3", "-c", COPY, path, "") == (0, f"/mnt/koji/{path}\n")
