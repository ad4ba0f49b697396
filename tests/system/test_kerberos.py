"""Log-in with Kerberos: the example's Koji, with a KDC of Debian's."""

import io
import shutil
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest
from docker.models.containers import Container

from nagoya.config.declaration import Declaration
from nagoya.engine import connect
from nagoya.engine.resources import network_name
from tests.image.postgresql import put
from tests.image.tracked import Containers, execute, wait_until
from tests.system.conftest import PROGRAMS, Koji

pytestmark = pytest.mark.long

# The example's builder has what a client of Kerberos needs.
IMAGE = """
FROM kerberos-builder
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
    curl krb5-admin-server krb5-kdc krb5-user
COPY --from=kerberos-builder /etc/krb5.conf /etc/krb5.conf
"""
START = """
printf '[realms]\\nEXAMPLE.COM = {\\n}\\n' >/etc/krb5kdc/kdc.conf
kdb5_util create -s -P master
for user in alice mallory; do kadmin.local addprinc -pw secret $user; done
for service in HTTP/koji compile/kojibuilder; do kadmin.local addprinc -randkey $service; done
kadmin.local ktadd -k /srv/koji.keytab HTTP/koji
kadmin.local ktadd -k /srv/kojid.keytab compile/kojibuilder
exec krb5kdc -n
"""
CLIENT = "/opt/client"
CONFIGURATION = """[koji]
server = https://koji/kojihub
serverca = /srv/koji_ca_cert.crt
"""


@pytest.fixture(scope="module")
def site(
    declaration: Declaration, checkout: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Koji]:
    """The example's Koji, without keytabs."""
    home = tmp_path_factory.mktemp("kerberos")
    folder = shutil.copytree(checkout / "docs/examples/kerberos", home / "example")
    config = folder / "moromi.yml"
    site = Koji("kerberos", home, config)
    site.run("moromi", "-c", str(config), "build", "kerberos-hub", "kerberos-builder")
    site.toji("init", check=False)  # it fails if it sees the hub end
    yield site
    site.toji("remove")


@pytest.fixture(scope="module")
def kdc(site: Koji) -> Iterator[Container]:
    """The KDC, which is the client too; Koji has the keytabs that it made, and is ready."""
    client = connect().client
    client.images.build(fileobj=io.BytesIO(IMAGE.encode()), tag="kerberos-kdc", rm=True)
    containers = Containers(client, "latest")
    try:
        kdc = containers.start("kerberos-kdc", "-ec", START, entrypoint="bash")
        client.networks.get(network_name(site.system)).connect(kdc, aliases=["kdc.example.com"])
        wait_until(lambda: execute(kdc, "ls", "/srv/kojid.keytab")[0] == 0, 120)
        refused = site.toji("logs", "koji").stdout
        assert "KOJI_KEYTAB: cannot read /etc/pki/koji/koji.keytab: No such file" in refused
        install_client(site, kdc)
        for keytab, target in (
            ("koji", "kojicreds:/etc/pki/koji"),
            ("kojid", "kojibuilder:/etc/keytabs"),
        ):
            site.run("docker", "cp", f"{kdc.name}:/srv/{keytab}.keytab", str(site.home))
            file = str(site.home / f"{keytab}.keytab")
            site.run("docker", "cp", file, f"{site.system}-{target}/{keytab}.keytab")
        site.toji("restart", "--timeout", "600")
        site.client("add-user", "alice", "--principal=alice@EXAMPLE.COM")
        site.client("grant-permission", "repo", "alice")
        yield kdc
    finally:
        containers.remove_all()


def install_client(site: Koji, kdc: Container) -> None:
    """Give it the koji client of this virtual environment, and the authority's certificate."""
    execute(kdc, "mkdir", CLIENT)
    for package in ("koji", "koji_cli"):
        folder = Path(sysconfig.get_path("purelib")) / package
        site.run("docker", "cp", str(folder), f"{kdc.name}:{CLIENT}/{package}")
    site.run("docker", "cp", str(PROGRAMS / "koji"), f"{kdc.name}:{CLIENT}/koji-cli")
    put(kdc, "/srv", "koji.conf", CONFIGURATION.encode())
    for name in ("koji_ca_cert.crt", "kojiadmin.pem"):
        path = site.home / f".koji/nagoya/{site.system}/{name}"
        site.run("docker", "cp", str(path), f"{kdc.name}:/srv/{name}")


def run(kdc: Container, command: str) -> tuple[int, str]:
    return execute(kdc, "bash", "-c", f"export PYTHONPATH={CLIENT}; {command}")


def koji(kdc: Container, *words: str) -> tuple[int, str]:
    client = f"python3 {CLIENT}/koji-cli --config=/srv/koji.conf --profile=koji"
    return run(kdc, " ".join([client, *words]))


def test_a_user_with_a_ticket_and_a_principal(kdc: Container) -> None:
    assert run(kdc, "kdestroy -A")[0] == 0
    status, output = koji(kdc, "--authtype=kerberos", "moshimoshi")
    assert status and "GSSAPIAuthError" in output, output
    assert run(kdc, "echo secret | kinit mallory")[0] == 0
    status, output = koji(kdc, "--authtype=kerberos", "moshimoshi")
    assert status and "Unknown user: mallory@EXAMPLE.COM" in output, output
    assert run(kdc, "echo secret | kinit alice")[0] == 0
    status, output = koji(kdc, "--authtype=kerberos", "moshimoshi")
    assert status == 0, output
    assert "alice!" in output and "Authenticated via GSSAPI" in output
    # A certificate goes on to be one.
    status, output = koji(kdc, "--authtype=ssl", "--cert=/srv/kojiadmin.pem", "moshimoshi")
    assert "kojiadmin!" in output and "Authenticated via client certificate" in output


def test_kojiweb(kdc: Container) -> None:
    curl = (
        "curl --silent --show-error --location --cacert /srv/koji_ca_cert.crt --cookie-jar /tmp/jar"
    )
    run(kdc, "echo secret | kinit alice")
    _, page = run(kdc, f"{curl} --negotiate --user : https://koji/koji/login")
    assert ">alice<" in page and "logout" in page, page
    _, page = run(kdc, f"{curl} --cert /srv/kojiadmin.pem https://koji/koji/login")
    assert ">kojiadmin<" in page and "logout" in page, page
    _, page = run(kdc, f"{curl} --include https://koji/koji/login")
    assert " 401 " in page and "Negotiate" in page and "kinit" in page, page
    # Nobody becomes another by a name that only Apache may set.
    _, page = run(kdc, f"{curl} --include -H 'Remote-User: kojiadmin' https://koji/koji/login")
    assert " 401 " in page


def test_a_builder(site: Koji, kdc: Container) -> None:
    sql = (
        "SELECT DISTINCT authtype FROM sessions JOIN users ON users.id = user_id"
        " WHERE name = 'kojibuilder' AND NOT expired"
    )
    psql = ["runuser", "-u", "postgres", "--", "psql", "-qAt", "koji", "-c", sql]
    # See koji.AUTHTYPES.
    assert site.toji("exec", "kojidatabase", *psql).stdout.strip() == "3"
    site.toji("verify")
