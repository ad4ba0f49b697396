"""Mails about builds, which kojid sends to a mail server of Debian's."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from docker.models.containers import Container

from nagoya.config.declaration import Declaration
from nagoya.engine import connect
from nagoya.engine.resources import network_name
from nagoya.koji.builds import upload
from tests.image.tracked import Containers, wait_until
from tests.system.building import make_srpm, state
from tests.system.conftest import Koji, declaration_with

pytestmark = pytest.mark.long

# It prints its mails.
SERVER = ("python3", "-m", "aiosmtpd", "--nosetuid", "--listen", "0.0.0.0:25")
CONFIGURATION = {
    "koji:/etc/koji-hub/hub.conf.d": "[hub]\nEmailDomain = example.com\n",
    "kojibuilder:/etc/kojid/kojid.conf.d": "[kojid]\nsmtphost = mail\n",
}
SECRETS = {"KOJI_WEB_SECRET": "planted-for-the-web", "GIT_TOKEN": "planted-for-git"}
FAILING = """
Name: failing
Version: 1
Release: 1
Summary: A package whose build fails
License: MIT
BuildArch: noarch
%description
%build
env
exit 1
"""


@pytest.fixture
def site(
    start: Callable[..., Koji], declaration: Declaration, checkout: Path, tmp_path: Path
) -> Koji:
    """A Koji that sends mails, with secrets in its environment."""

    def plant(raw: dict[str, Any]) -> None:
        hub, builder = raw["containers"]["koji"], raw["containers"]["kojibuilder"]
        hub.setdefault("environment", {})["KOJI_NOTIFICATIONS"] = "yes"
        hub["environment"]["KOJI_WEB_SECRET"] = SECRETS["KOJI_WEB_SECRET"]
        builder.setdefault("environment", {})["GIT_TOKEN"] = SECRETS["GIT_TOKEN"]

    site = start("mail", config=declaration_with(declaration, checkout, tmp_path, plant))
    site.toji("verify")
    assert "mails go to NAME@None" in site.toji("logs", "koji").stdout
    for folder, text in CONFIGURATION.items():
        (tmp_path / "mail.conf").write_text(text)
        site.run("docker", "cp", str(tmp_path / "mail.conf"), f"{site.system}-{folder}/")
    site.toji("restart", "koji", "kojibuilder")
    return site


@pytest.fixture
def server(site: Koji, declaration: Declaration) -> Iterator[Container]:
    client = connect().client
    install = "RUN apt-get update && apt-get install -y python3-aiosmtpd"
    dockerfile = f"FROM koji-base:{declaration.tag}\n{install}\n"
    client.images.build(fileobj=io.BytesIO(dockerfile.encode()), tag="nagoya-mail", rm=True)
    containers = Containers(client, "latest")
    try:
        server = containers.start("nagoya-mail", *SERVER, environment={"PYTHONUNBUFFERED": "1"})
        client.networks.get(network_name(site.system)).connect(server, aliases=["mail"])
        yield server
    finally:
        containers.remove_all()


def test_a_mail_about_a_failed_build_holds_no_secret(
    site: Koji, server: Container, tmp_path: Path
) -> None:
    session = site.session()
    session.packageListAdd("demo", "failing", "kojiadmin")
    task = session.build(upload(session, make_srpm(site, FAILING, tmp_path)), "demo")
    assert state(session, task) == "FAILED"
    end = f"buildinfo?buildID={session.getBuild('failing-1-1')['id']}"
    wait_until(lambda: end in server.logs().decode(), 120, "the mail arrives")
    mail = server.logs().decode()
    subject = "Package: failing-1-1 Tag: demo-candidate Status: failed Built by: kojiadmin"
    assert f"Subject: {subject}" in mail
    assert "To: kojiadmin@example.com" in mail
    assert f"/taskinfo?taskID={task}" in mail
    for secret in (*SECRETS.values(), "PRIVATE KEY"):
        assert secret not in mail
