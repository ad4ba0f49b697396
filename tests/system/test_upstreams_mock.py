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
    ("extra", "log", "line"),
    [
        # Upstream's. There is neither a bootstrap nor a dnf5, so it takes the builder's dnf.
        (
            {"mock.package_manager": "dnf5", "mock.use_bootstrap": 0},
            "mock_output.log", "Using 'dnf4' instead of 'dnf5'",
        ),
        (
            {"mock.package_manager": "dnf", "mock.use_bootstrap": 1},
            "root.log", "mock: dnf install python3-dnf",
        ),
    ],
)  # fmt: skip
def test_a_tag_gets_the_mock_that_it_asks_for(
    both: Koji, tmp_path: Path, extra: dict[str, object], log: str, line: str
) -> None:
    session = both.session()
    session.editTag2("demo-build", extra=extra)
    both.client("regen-repo", "--wait", "demo-build")
    srpm = uploaded(session, sources(both, "hello-c"), tmp_path)
    task = session.build(srpm, "demo", {"scratch": True})
    ended = state(session, task, 600)
    build = child(session, task, "buildArch")
    assert build
    text = session.downloadTaskOutput(build["id"], log).decode()
    assert ended == "CLOSED", text
    assert line in text
