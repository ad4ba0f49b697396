"""docs/examples/layering: what its README says, done in a copy of the folder."""

import re
import secrets
import shutil
from pathlib import Path

from tests.system.conftest import Koji


def test_the_example_is_built_and_run(checkout: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(checkout / "docs/examples/layering", tmp_path / "layering")
    system = f"layering-{secrets.token_hex(3)}"
    person = Koji(system, tmp_path, folder / "moromi.yml", environment={"NAGOYA_SYSTEM": system})
    blocks = re.findall(r"^```sh\n(.*?)^```", (folder / "README.md").read_text(), re.M | re.S)
    assert len(blocks) == 3
    script = "\n".join([f"cd {folder}", *blocks])
    script = script.replace("nagoya-koji", f"nagoya-{system}")
    script = script.replace("/nagoya/koji/", f"/nagoya/{system}/")
    try:
        run = person.run("bash", "-euxc", script, check=False)
        assert run.status == 0, run.stderr[-4000:]
        assert "['alice']" in run.stdout
        assert "policy violation (package_list)" in run.stderr
        assert "unchanged" in run.stderr
        session = person.session(certificate=tmp_path / f".koji/nagoya/{system}/alice.pem")
        assert session.getLoggedInUser()["name"] == "alice"
        assert person.toji("user", "alice").status == 0
        refused = person.toji("user", "kojihub", check=False)
        assert refused.status == 7
        assert "'kojihub' is reserved" in refused.stderr
    finally:
        person.toji("remove")
        person.run("docker", "rmi", "team-hub", check=False)
    assert not (folder / "src").exists()
