"""docs/plugins.md: what another program has built."""

import re
from pathlib import Path

import koji
import pytest
import requests

from tests.system.conftest import Koji


def test_a_content_generator_imports_a_build(running: Koji, checkout: Path, tmp_path: Path) -> None:
    page = (checkout / "docs/plugins.md").read_text()
    (script,) = re.findall(r"^```sh\n(.*?)^```", page, re.M | re.S)
    script = script.replace("nagoya-koji", f"nagoya-{running.system}")
    script = script.replace("/nagoya/koji/", f"/nagoya/{running.system}/")
    output = running.run(
        "bash", "-euxc", f"cd {tmp_path}\nexport NAGOYA_SYSTEM={running.system}\n{script}"
    ).stdout
    assert "State: COMPLETE" in output

    session = running.session()
    build = session.getBuild("picture-1-1")
    assert build["owner_name"] == "painter"
    (archive,) = session.listArchives(build["id"])
    assert archive["filename"] == "picture.txt"
    root = session.getBuildroot(archive["buildroot_id"])
    assert root["cg_name"] == "painter"
    urls, ca = running.description["urls"], running.description["ca"]
    file = f"{urls['files']}/packages/picture/1/1/images/picture.txt"
    assert requests.get(file, verify=ca, timeout=60).text == "blue\n"
    page = requests.get(
        f"{urls['web']}/buildinfo?buildID={build['id']}", verify=ca, timeout=60
    ).text
    assert "picture.txt" in page


def test_others_may_not_import_for_it(running: Koji) -> None:
    running.toji("user", "stranger")
    running.session().grantCGAccess("kojiadmin", "forger", create=True)
    session = running.session(
        certificate=running.home / f".koji/nagoya/{running.system}/stranger.pem"
    )
    metadata = {
        "metadata_version": 0,
        "build": {
            "name": "forged", "version": "1", "release": "1", "source": "x", "owner": "stranger",
            "start_time": 1, "end_time": 2, "extra": {"typeinfo": {"image": {}}},
        },
        "buildroots": [
            {
                "id": 1, "host": {"os": "x", "arch": "x86_64"}, "tools": [], "components": [],
                "content_generator": {"name": "forger", "version": "1"},
                "container": {"type": "none", "arch": "x86_64"},
            }
        ],
        "output": [],
    }  # fmt: skip
    refused = (koji.ActionNotAllowed, koji.AuthError)
    with pytest.raises(refused, match="Content generator access required"):
        session.CGImport(metadata, "")
    assert session.getBuild("forged-1-1") is None
