"""The plugin in runs of pytest of their own, with something simple in the place of a Koji."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

# What the fixtures start, when there is no engine.
CONFTEST = """
import contextlib
from nagoya.testing import launch

class Made:
    name = "made-up"

    def __init__(self, **given):
        self.given = given
        print("started", given)

    def failed_tasks(self, since):
        yield "task 7 (buildArch x86_64): exited with status 1"

    def report(self, name):
        return f"/reports/{name}.tar.gz"

    def keep(self):
        return "it is kept"

@contextlib.contextmanager
def running_koji(config, **given):
    yield Made(config=config, **given)
    print("removed")

launch.running_koji = running_koji
"""

Run = Callable[..., str]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run pytest on a test file; what it prints."""

    def run(text: str, *arguments: str, ini: str = "", conftest: str = CONFTEST) -> str:
        (tmp_path / "conftest.py").write_text(conftest)
        (tmp_path / "pytest.ini").write_text(f"[pytest]\n{ini}")
        (tmp_path / "test_it.py").write_text(text)
        plugin = ["-p", "nagoya.testing.pytest_plugin", "-p", "no:nagoya", "-p", "no:cacheprovider"]
        ended = subprocess.run(
            [sys.executable, "-m", "pytest", "-s", *plugin, *arguments],
            cwd=tmp_path, capture_output=True, text=True, check=False,
            # It is no worker of pytest-xdist's, though this may run in one.
            env={key: value for key, value in os.environ.items() if "XDIST" not in key},
        )  # fmt: skip
        return ended.stdout + ended.stderr

    return run


def test_who_does_not_use_it_pays_nothing(run: Run) -> None:
    text = """
import sys
def test_nothing_is_imported():
    heavy = {"docker", "koji", "pydantic", "rich", "yaml", "requests"}
    assert not heavy & set(sys.modules)
    assert [name for name in sys.modules if name.startswith("nagoya")] == [
        "nagoya", "nagoya.testing", "nagoya.testing.pytest_plugin"
    ]
"""
    assert "1 passed" in run(text, conftest="")


def test_a_session_shares_one_and_a_test_may_have_its_own(run: Run) -> None:
    text = """
def test_one(running_koji): pass
def test_two(running_koji): pass
def test_own(fresh_koji, running_koji): assert fresh_koji is not running_koji
"""
    output = run(text)
    assert "3 passed" in output
    assert output.count("started") == output.count("removed") == 2


def test_a_failing_test_points_to_its_report(run: Run) -> None:
    text = """
import pytest
@pytest.fixture
def prepared(running_koji): return running_koji
def test_well(prepared): pass
@pytest.mark.parametrize("what", ["a/b"])
def test_badly(prepared, what): assert False
def test_without(): assert False
"""
    output = run(text)
    assert output.count("report: ") == 1
    assert "Koji made-up" in output
    assert "report: /reports/made-up-test_badly-a-b.tar.gz" in output
    assert "it is kept" not in output
    assert "it is kept" in run(text, "--koji-keep")


def test_what_may_be_said_of_it(run: Run) -> None:
    ini = "koji_config = conf/moromi.yml\nkoji_images =\n  koji = my-hub\nkoji_prefix = mine\n"
    text = """
def test_it(running_koji, request):
    given = running_koji.given
    assert given["config"] == request.config.rootpath / {config!r}
    assert given["images"] == {images!r}
    assert given["prefix"] == {prefix!r}
    assert given["keep_on_failure"] is {keep}
"""
    values = {"config": "conf/moromi.yml", "images": {"koji": "my-hub"}, "prefix": "mine"}
    assert "1 passed" in run(text.format(**values, keep=False), ini=ini)
    values = {"config": "o.yml", "images": {"koji": "a", "kojidatabase": "b"}, "prefix": "other"}
    arguments = ["--koji-config=o.yml", "--koji-prefix=other", "--koji-keep"]
    arguments += ["--koji-image=koji=a", "--koji-image", "kojidatabase=b"]
    assert "1 passed" in run(text.format(**values, keep=True), *arguments, ini=ini)


@pytest.mark.parametrize("way", ["option", "ini"])
def test_the_demo_is_named(run: Run, way: str) -> None:
    text = """
from nagoya.config import extends
def test_it(running_koji):
    assert running_koji.given["config"] == extends.shipped("nagoya-demo")
"""
    ini, arguments = "koji_config = nagoya-demo\n", []
    if way == "option":
        ini, arguments = "", ["--koji-config=nagoya-demo"]
    assert "1 passed" in run(text, *arguments, ini=ini)


def test_a_wrong_image_is_reported(run: Run) -> None:
    output = run("def test_it(running_koji): pass", "--koji-image=my-hub")
    assert "my-hub is not of the form CONTAINER=IMAGE" in output


def test_a_fixture_of_that_name_may_be_somebodys_own(run: Run) -> None:
    text = """
import pytest
@pytest.fixture
def running_koji(): return object()
def test_badly(running_koji): assert False
"""
    output = run(text)
    assert "1 failed" in output
    assert "INTERNALERROR" not in output
    assert "report: " not in output
