"""Koji's own client on the host, through the profile that toji wrote."""

import json
import re
import ssl
from pathlib import Path
from urllib.request import urlopen

import koji
import pytest
import requests

from nagoya.config.declaration import Declaration
from tests.system.conftest import Koji
from util.certificates import Authority


def test_hello(running: Koji) -> None:
    output = running.client("hello").stdout
    assert ", kojiadmin!" in output
    assert running.description["urls"]["hub"] in output
    assert "Authenticated via client certificate" in output


def test_the_api_is_listed(running: Koji) -> None:
    listed = running.client("list-api").stdout
    assert "getAPIVersion" in listed
    assert "listTags(" in listed


def test_a_tag_is_made_and_listed(running: Koji) -> None:
    running.client("add-tag", "made-by-hand", "--arches=x86_64")
    assert "made-by-hand" in running.client("list-tags").stdout.split()


def test_the_hub_is_of_the_declared_version(running: Koji, declaration: Declaration) -> None:
    source = declaration.source_dirs["koji"] / "src/koji"
    (version,) = re.findall(r"^Version: (\S+)", (source / "koji.spec").read_text(), re.MULTILINE)
    assert running.session(login=False).getKojiVersion() == version


def test_without_a_certificate_one_may_read(running: Koji) -> None:
    anonymous = running.session(login=False)
    assert isinstance(anonymous.listTags(), list)
    with pytest.raises(koji.ActionNotAllowed):
        anonymous.createTag("never-made")


def test_without_a_certificate_nobody_logs_in(running: Koji) -> None:
    description = running.description
    answer = requests.post(
        f"{description['urls']['hub']}/ssllogin",
        data=koji.xmlrpcplus.dumps((), "sslLogin"),
        headers={"Content-Type": "text/xml"},
        verify=description["ca"],
        timeout=30,
    )
    with pytest.raises(koji.xmlrpcplus.Fault, match="could not verify client"):
        parser, unmarshaller = koji.xmlrpcplus.getparser()
        parser.feed(answer.content)
        parser.close()
        unmarshaller.close()


def test_a_certificate_of_another_authority_is_refused(running: Koji, tmp_path: Path) -> None:
    Authority.create(tmp_path).issue("kojiadmin", client=True)
    with pytest.raises((koji.AuthError, requests.exceptions.SSLError)):
        running.session(certificate=tmp_path / "kojiadmin.pem")


def test_a_hub_of_another_authority_is_refused(running: Koji, tmp_path: Path) -> None:
    Authority.create(tmp_path)
    with pytest.raises(requests.exceptions.SSLError, match="certificate verify failed"):
        running.session(login=False, ca=tmp_path / "koji_ca_cert.crt").getAPIVersion()


def test_a_user_whom_nobody_added_is_refused(running: Koji, tmp_path: Path) -> None:
    """A certificate of the right authority is not enough: no login makes a user."""
    volume = tmp_path / "pki"
    container = running.status()["kojicreds"]["container"]
    running.run("docker", "cp", f"{container}:/etc/pki/koji", str(volume))
    Authority.load(volume).issue("stranger", client=True)
    with pytest.raises(koji.AuthError, match="stranger"):
        running.session(certificate=volume / "stranger.pem")
    assert running.session().getUser("stranger") is None


def test_toji_adds_a_user_with_permissions(running: Koji) -> None:
    answer = running.toji("user", "--json", "--permission", "tag", "--permission", "repo", "tagger")
    (user,) = json.loads(answer.stdout)["users"]
    session = running.session(certificate=Path(user["certificate"]))
    assert session.getLoggedInUser()["name"] == "tagger"
    assert sorted(session.getPerms()) == ["repo", "tag"]
    assert Path(user["browser_certificate"]).exists()


@pytest.mark.parametrize("name", ["kojiweb", "kojibuilder", "al ice"])
def test_names_that_are_not_for_users(running: Koji, name: str) -> None:
    run = running.toji("user", name, check=False)
    assert run.status == 64
    assert f"'{name}'" in run.stderr
    assert not (Path(running.description["certificate"]).parent / f"{name}.pem").exists()


def test_a_task_that_never_was(running: Koji) -> None:
    run = running.toji("logs", "--task", "999999", check=False)
    assert "there is no task 999999" in run.stderr


def test_plain_http_leads_to_the_published_https(running: Koji) -> None:
    port = running.status()["koji"]["ports"]["80"]
    web = running.description["urls"]["web"]
    answer = requests.get(
        f"http://127.0.0.1:{port}/koji/hosts", verify=running.description["ca"], timeout=30
    )
    assert (answer.status_code, answer.url) == (200, f"{web}/hosts")
    configuration = running.toji("exec", "koji", "cat", "/etc/koji-hub/hub.conf").stdout
    assert f"kojiweburl = {web}\n" in configuration


def test_a_strict_verifier_accepts_the_hub(running: Koji) -> None:
    description = running.description
    strict = ssl.create_default_context(cafile=description["ca"])
    strict.verify_flags |= ssl.VerifyFlags.VERIFY_X509_STRICT
    with urlopen(description["urls"]["files"] + "/", context=strict, timeout=30) as answer:
        assert answer.status == 200


def test_credentials_are_the_owners_alone(running: Koji) -> None:
    folder = Path(running.description["certificate"]).parent
    assert folder.stat().st_mode & 0o077 == 0
    assert not [file for file in folder.iterdir() if file.stat().st_mode & 0o077]


def test_a_seed_adds_a_channel(running: Koji, tmp_path: Path) -> None:
    seed = tmp_path / "seed.yml"
    seed.write_text("type: channel\nname: seeded\ndescription: made by a seed\n")
    running.toji("seed", str(seed))
    assert running.session().getChannel("seeded")["description"] == "made by a seed"
    seed.write_text("type: template\nname: t\ncontent: 'name: {{ 1/0 }}'\n---\ntype: t\nname: u\n")
    ended = running.toji("seed", str(seed), check=False)
    assert ended.status == 7
    assert "bug in toji" not in ended.stderr
