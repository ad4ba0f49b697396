"""Builds through a whole Koji whose builder has upstream's mock beside ours."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from nagoya.engine import connect
from tests.image.koji_builder.buildroots import pack_dnf
from tests.system.building import child, sources, state, uploaded
from tests.system.conftest import Koji


@pytest.fixture(scope="module")
def both(start: Callable[..., Koji], tmp_path_factory: pytest.TempPathFactory) -> Koji:
    """A Koji that has built hello, and whose repository has a dnf for bootstrap chroots."""
    one = start("mock")
    one.toji("verify")
    builder = connect().client.containers.get(f"{one.system}-kojibuilder")
    rpms = {"type": "import", "tag": "demo-build", "container": "kojibuilder"}
    seed = tmp_path_factory.mktemp("seed") / "dnf.yml"
    seed.write_text(yaml.safe_dump({**rpms, "rpms": [pack_dnf(builder)]}))
    one.session().packageListAdd("demo-build", "demo-dnf", owner="kojiadmin")
    one.toji("seed", str(seed))
    return one


@pytest.mark.parametrize(
    ("extra", "programs"),
    [
        # No bootstrap, and no dnf5 here either: upstream's takes the builder's dnf.
        ({"mock.package_manager": "dnf5", "mock.use_bootstrap": 0}, "Using 'dnf4' instead"),
        ({"mock.package_manager": "dnf", "mock.use_bootstrap": 1}, "installing dnf tooling"),
    ],
)
def test_a_tag_gets_the_mock_that_it_asks_for(
    both: Koji, tmp_path: Path, extra: dict[str, object], programs: str
) -> None:
    session = both.session()
    session.editTag2("demo-build", extra=extra)
    both.client("regen-repo", "--wait", "demo-build")
    srpm = uploaded(session, sources(both, "hello-c"), tmp_path)
    task = session.build(srpm, "demo", {"scratch": True})
    ended = state(session, task, 600)
    build = child(session, task, "buildArch")
    assert build
    log = session.downloadTaskOutput(build["id"], "mock_output.log").decode()
    assert ended == "CLOSED", log
    assert "mock.py version " in log
    assert programs in log
