"""What a test gets from the Koji of the fixtures, beyond a session."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nagoya.koji.builds import TaskFailed
from nagoya.testing import instance
from tests.system.building import hub_of, sources, system_of
from tests.system.conftest import Koji

DOWNLOAD = "import requests, sys; requests.get(sys.argv[1], timeout=30).raise_for_status()"


@pytest.fixture
def fixture(seeded: Koji, tmp_path: Path) -> instance.Koji:
    """The seeded system, as the fixtures of the plugin have it."""
    return instance.Koji(system_of(seeded), hub_of(seeded), seeded.home, tmp_path)


def test_programs_find_the_profile_and_the_authority(fixture: instance.Koji) -> None:
    url = f"{fixture.files_url}/packages/"
    for command in (
        [sys.executable, "-c", DOWNLOAD, url],
        ["bash", "-c", 'koji -p "$KOJI_PROFILE" hello'],
    ):
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        subprocess.run(command, env={**fixture.environment, "PATH": path}, check=True)


def test_a_proxy_of_the_environment_is_not_asked(
    seeded: Koji, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing listens where it is said to be."""
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "example.com")
    seeded.toji("user", "carol")
    site = instance.Koji(system_of(seeded), hub_of(seeded), seeded.home, tmp_path)
    assert site.session("carol").getLoggedInUser()["name"] == "carol"
    assert site.hub.download(f"{site.files_url}/packages/")
    assert ", kojiadmin!" in site.cli("hello").stdout


def test_the_client_runs_as_a_user(fixture: instance.Koji) -> None:
    assert ", kojiadmin!" in fixture.cli("hello").stdout
    assert ", alice!" in fixture.cli("hello", user="alice").stdout
    with pytest.raises(subprocess.CalledProcessError) as caught:
        fixture.cli("add-tag", "never", user="alice")
    assert "requires tag or admin privileges" in caught.value.__notes__[0]
    assert fixture.cli("add-tag", "never", user="alice", check=False).returncode


def test_a_user_has_permissions(fixture: instance.Koji) -> None:
    fixture.add_user("bob", "admin")
    fixture.session("bob").createTag("of-bob")
    assert fixture.session(None).getTag("of-bob")


def test_a_build_and_its_repository(fixture: instance.Koji, seeded: Koji) -> None:
    build = fixture.build("demo", sources(seeded, "hello").git, scratch=True)
    assert build.nvr == "hello-1.0-1.demo"
    assert "hello-1.0-1.demo.noarch.rpm" in build.rpms
    assert fixture.wait_for_repo("demo-build")["create_event"]


def test_a_failed_build_says_why(fixture: instance.Koji, seeded: Koji) -> None:
    start = time.time()
    with pytest.raises(TaskFailed) as caught:
        fixture.build("demo", sources(seeded, "fails").git, scratch=True)
    (text,) = (text for text in fixture.failed_tasks(start) if "buildArch" in text)
    assert "==> build.log <==" in text
    assert text in caught.value.message
    assert not list(fixture.failed_tasks(time.time() + 60))
