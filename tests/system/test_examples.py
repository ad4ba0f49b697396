"""docs/examples: what each README says, done in a copy of its folder."""

import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.image.tracked import wait_until
from tests.system.conftest import Koji, Run


@contextmanager
def example(folder: Path, home: Path) -> Iterator[tuple[Koji, Run]]:
    """Run the shell blocks of a README in a copy of its folder, as a user with a home of its own.

    The system that they start has a name of its own too, and is removed in the end.
    """
    folder = shutil.copytree(folder, home / folder.name)
    system = f"{folder.name}-{secrets.token_hex(3)}"
    person = Koji(system, home, folder / "moromi.yml", environment={"NAGOYA_SYSTEM": system})
    blocks = re.findall(r"^```sh\n(.*?)^```", (folder / "README.md").read_text(), re.M | re.S)
    assert len(blocks) >= 3
    script = "\n".join([f"cd {folder}", *blocks])
    script = script.replace("nagoya-koji", f"nagoya-{system}")
    script = script.replace("/nagoya/koji/", f"/nagoya/{system}/")
    try:
        run = person.run("bash", "-euxc", script, check=False)
        assert run.status == 0, run.stdout[-2000:] + run.stderr[-4000:]
        yield person, run
    finally:
        person.toji("remove")


@pytest.mark.slow
def test_layering(checkout: Path, tmp_path: Path) -> None:
    with example(checkout / "docs/examples/layering", tmp_path) as (person, run):
        assert "['alice']" in run.stdout
        assert "policy violation (package_list)" in run.stderr
        assert "unchanged" in run.stderr
        certificate = tmp_path / f".koji/nagoya/{person.system}/alice.pem"
        session = person.session(certificate=certificate)
        assert session.getLoggedInUser()["name"] == "alice"
        assert person.toji("user", "alice").status == 0
        refused = person.toji("user", "kojihub", check=False)
        assert refused.status == 64
        assert "'kojihub' is reserved" in refused.stderr
    assert not (tmp_path / "layering/src").exists()
    person.run("docker", "rmi", "team-hub", check=False)


@pytest.mark.slow
def test_kojira(checkout: Path, tmp_path: Path) -> None:
    with example(checkout / "docs/examples/kojira", tmp_path) as (person, run):
        assert "Successfully waited" in run.stdout
        assert "/usr/sbin/kojira" in person.toji("exec", "kojira", "cat", "/proc/1/cmdline").stdout
        script = (
            "import sys; sys.path += ['/usr/lib/nagoya']; import snapshot; print(snapshot.kojira())"
        )
        assert person.toji("exec", "koji", "python3", "-c", script).stdout == "[]\n"
    person.run("docker", "rmi", "kojira", check=False)


@pytest.mark.slow
def test_developing(checkout: Path, tmp_path: Path) -> None:
    shutil.copytree(checkout / "src/koji", tmp_path / "koji", symlinks=True)
    with example(checkout / "docs/examples/developing", tmp_path) as (person, run):
        assert "'Hello from the work tree'" in run.stdout
        status = person.status()
        assert status["koji"]["image"] == "developing-hub:developing"
        assert person.client("call", "hello").stdout == "'Hello from the work tree'\n"
        # What does not compile is not installed.
        kojid = tmp_path / "koji/builder/kojid"
        program = kojid.read_text()
        kojid.write_text(program + "def broken(:\n")
        refused = update(person, check=False)
        assert (refused.status, "usr/sbin/kojid" in refused.stderr) == (1, True), refused
        assert "SyntaxError" in refused.stderr
        installed = person.toji("exec", "kojibuilder", "cat", "/usr/sbin/kojid").stdout
        assert "Starting up" in installed
        assert "def broken" not in installed
        # A reload keeps what the entrypoint has configured, and files leave with the tree's.
        for path in tmp_path.glob("koji/plugins/*/save_failed_tree.py"):
            path.unlink()
        # kojid restarts itself.
        start = "logger.info('Starting up')"
        kojid.write_text(program.replace(start, f"{start}; logger.info('as changed')"))
        update(person)
        wait_until(lambda: "as changed" in person.toji("logs", "kojibuilder").stdout, 60)
        for name, kind in (("koji", "hub"), ("kojibuilder", "builder")):
            plugins = person.toji("exec", name, "ls", f"/usr/lib/koji-{kind}-plugins").stdout
            assert "runroot" in plugins
            assert "save_failed_tree.py" not in plugins
        person.toji("wait")


def update(person: Koji, *, check: bool = True) -> Run:
    """Install the work tree beside the example, as its README does."""
    assert person.config
    folder = person.config.parent
    return person.run("env", "-C", str(folder), "./update", "../koji", check=check)
