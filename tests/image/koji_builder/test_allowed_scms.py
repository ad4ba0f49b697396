"""Where koji-builder's own Koji lets sources come from."""

import pytest
from docker.models.containers import Container

from tests.image.tracked import Containers, execute

# As kojid does it; prints what git would be asked for.
CHECK = """
import sys, koji, koji.daemon
scm = koji.daemon.SCM(sys.argv[1])
try:
    scm.assert_allowed("koji:/good/*:no *:/c++/%20/*")
except koji.BuildError as refusal:
    sys.exit(str(refusal))
print(scm.host + scm.repository)
"""


@pytest.fixture(scope="module")
def idle(module_containers: Containers) -> Container:
    return module_containers.start("koji-builder", "sleep", "infinity")


@pytest.mark.parametrize(
    "path",
    [
        "/bad/x",
        "/good/../bad/x",
        "/good/%2e%2e/bad/x",
        "/good/.%2E/bad/x",
        "/good/%2e%2e%2fbad/x",
        "/good%2f../bad/x",
        "/good/x/../%2e%2e/bad/x",
    ],
)
def test_a_path_that_leads_elsewhere_is_refused(idle: Container, path: str) -> None:
    status, output = execute(idle, "python3", "-c", CHECK, f"git+https://koji{path}#main")
    assert status == 1
    assert "is not in the list of allowed SCMs" in output


@pytest.mark.parametrize(
    ("path", "fetched"),
    [
        ("/good/x.git", "/good/x.git"),
        ("/good/%2e%2e/good/./x", "/good/x"),
        # Once more than a server decodes: the names of folders.
        ("/good/%252e%252e/x", "/good/%252e%252e/x"),
        ("/c++/%20/x@1", "/c++/%20/x@1"),
    ],
)
def test_other_paths_are_fetched_as_they_were_checked(
    idle: Container, path: str, fetched: str
) -> None:
    status, output = execute(idle, "python3", "-c", CHECK, f"git+https://koji{path}#main")
    assert (status, output.strip()) == (0, f"koji{fetched}")
