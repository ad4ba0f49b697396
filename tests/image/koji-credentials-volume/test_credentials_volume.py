"""koji-credentials-volume by itself."""

import ipaddress
import socket
import ssl
import threading
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import pkcs12
from docker.models.containers import Container

from tests.image.tracked import Containers, outcome, read_tree

FOLDER = "/etc/pki/koji"
IMAGE = "koji-credentials-volume"
NAMES = ["kojihub", "kojidatabase", "kojiadmin", "kojira", "kojiweb"]
CLIENTS = ["kojihub", "kojiadmin", "kojira", "kojiweb"]


def certificate(credentials: Path, name: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate((credentials / f"certs/{name}.crt").read_bytes())


def alternative_names(leaf: x509.Certificate) -> x509.SubjectAlternativeName:
    return leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value


@pytest.fixture(scope="module")
def untouched(module_containers: Containers) -> Container:
    """The same with nothing added, as builders add their certificates to `kojicreds`."""
    container = module_containers.start(IMAGE, read_only=True)
    assert outcome(container)[0] == 0
    return container


def test_makes_every_file_with_its_owner_and_mode(untouched: Container) -> None:
    expected = {
        "": 0o755,
        "certs": 0o755,
        "private": 0o700,
        ".complete": 0o644,
        "koji_ca.crl": 0o644,
        "koji_ca_cert.crt": 0o644,
        "private/koji_ca_cert.key": 0o600,
        **{f"certs/{name}.crt": 0o644 for name in NAMES},
        **{f"private/{name}.key": 0o600 for name in NAMES},
        **{f"{name}.pem": 0o600 for name in NAMES},
        "kojiadmin_browser_cert.p12": 0o600,
    }
    tree = read_tree(untouched, FOLDER)
    assert {name: member.mode & 0o7777 for name, (member, _) in tree.items()} == expected
    assert {(member.uid, member.gid) for member, _ in tree.values()} == {(0, 0)}


def test_started_again_it_changes_nothing(containers: Containers) -> None:
    container = containers.start(IMAGE)
    assert outcome(container)[0] == 0
    before = read_tree(container, FOLDER)
    container.start()
    status, output = outcome(container)
    after = read_tree(container, FOLDER)
    assert status == 0
    assert "is complete already" in output
    assert {name: (member.mtime, content) for name, (member, content) in after.items()} == {
        name: (member.mtime, content) for name, (member, content) in before.items()
    }


def test_no_two_instances_share_a_key_or_a_serial(
    untouched: Container, containers: Containers
) -> None:
    other = containers.start(IMAGE)
    assert outcome(other)[0] == 0
    trees = [read_tree(container, FOLDER) for container in (untouched, other)]
    for name, (member, content) in trees[0].items():
        if member.isfile() and name != ".complete":
            assert trees[1][name][1] != content
    serials = [
        x509.load_pem_x509_certificate(content).serial_number
        for tree in trees
        for name, (_, content) in tree.items()
        if name.endswith(".crt")
    ]
    assert len(set(serials)) == 2 * (len(NAMES) + 1)
    assert min(serials) > 1 << 100


def test_refuses_a_half_made_volume(containers: Containers) -> None:
    container = containers.start(IMAGE)
    assert outcome(container)[0] == 0
    spoil = ("rm", f"{FOLDER}/.complete")
    assert containers.finish(IMAGE, *spoil, volumes_from=[container.name])[0] == 0
    before = read_tree(container, FOLDER)
    container.start()
    status, output = outcome(container)
    assert status == 1
    assert f"{IMAGE}: {FOLDER} is incomplete" in output
    assert "\n  hint: " in output
    assert "Traceback" not in output
    after = read_tree(container, FOLDER)
    assert {name: content for name, (_, content) in after.items()} == {
        name: content for name, (_, content) in before.items()
    }


def test_refuses_a_certificate_that_does_not_fit_its_key(containers: Containers) -> None:
    container = containers.start(IMAGE)
    assert outcome(container)[0] == 0
    spoil = ("cp", f"{FOLDER}/kojiweb.pem", f"{FOLDER}/kojira.pem")
    assert containers.finish(IMAGE, *spoil, volumes_from=[container.name])[0] == 0
    container.start()
    status, output = outcome(container)
    assert status == 1
    assert "the certificate of kojira in /etc/pki/koji is not valid" in output


def test_the_database_gets_what_a_restore_brings(containers: Containers) -> None:
    """And what there was, if the restore is undone."""
    swap = "python3 /usr/lib/nagoya/swap.py"
    show = f"tail -n 1 /etc/pki/koji-database/koji_ca_cert.crt; {swap} state {FOLDER}"
    script = f"""set -e; mkdir /etc/pki/koji-database
    python3 /usr/lib/nagoya/entrypoint.py 2>/dev/null
    cp -a {FOLDER} /tmp/other; echo restored >>/tmp/other/koji_ca_cert.crt
    {swap} prepare {FOLDER}; cp -a /tmp/other/. {FOLDER}/.snapshots/+incoming
    {swap} swap {FOLDER}; {show}; {swap} revert {FOLDER}; {show}"""
    status, output = containers.finish(IMAGE, "sh", "-c", script)
    end = "-----END CERTIFICATE-----"
    assert (status, output.splitlines()) == (0, ["restored", "pending", end, "settled"])


@pytest.mark.parametrize("purpose", ["sslserver", "sslclient"])
def test_openssl_verifies_strictly(
    kojicreds: Container, containers: Containers, purpose: str
) -> None:
    names = CLIENTS if purpose == "sslclient" else ["kojihub", "kojidatabase"]
    status, output = containers.finish(
        IMAGE,
        *("openssl", "verify", "-x509_strict", "-purpose", purpose),
        *("-CAfile", f"{FOLDER}/koji_ca_cert.crt"),
        *(f"{FOLDER}/certs/{name}.crt" for name in names),
        volumes_from=[f"{kojicreds.name}:ro"],
    )
    assert (status, output.count(": OK\n")) == (0, len(names)), output


def test_python_shakes_hands_strictly_on_both_sides(credentials: Path) -> None:
    authority = str(credentials / "koji_ca_cert.crt")
    server_side = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=authority)
    server_side.verify_mode = ssl.CERT_REQUIRED
    server_side.load_cert_chain(credentials / "kojihub.pem")
    client_side = ssl.create_default_context(cafile=authority)
    client_side.load_cert_chain(credentials / "kojiadmin.pem")
    for context in (server_side, client_side):
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        context.minimum_version = ssl.TLSVersion.TLSv1_3

    client_seen: list[Any] = []

    def serve(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with server_side.wrap_socket(connection, server_side=True) as secured:
            client_seen.append(secured.getpeercert())
            secured.sendall(b"hello")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=[listener])
        thread.start()
        with (
            socket.create_connection(listener.getsockname(), timeout=10) as connection,
            client_side.wrap_socket(connection, server_hostname="localhost") as secured,
        ):
            assert secured.recv(5) == b"hello"
        thread.join(timeout=10)
    assert (("commonName", "kojiadmin"),) in client_seen[0]["subject"]


def test_the_servers_have_their_names(credentials: Path) -> None:
    loopback = [ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("::1")]
    expected = {
        "kojihub": ["kojihub", "koji", "localhost"],
        "kojidatabase": ["kojidatabase", "localhost"],
        "kojiadmin": ["kojiadmin"],
    }
    for name, dns in expected.items():
        alternatives = alternative_names(certificate(credentials, name))
        assert alternatives.get_values_for_type(x509.DNSName) == dns
        ips = loopback if name != "kojiadmin" else []
        assert alternatives.get_values_for_type(x509.IPAddress) == ips


def test_the_environment_adds_names(containers: Containers) -> None:
    container = containers.start(
        IMAGE,
        environment={"KOJI_DATABASE_NAMES": "db.example.org, 192.0.2.7 2001:db8::7"},
    )
    assert outcome(container)[0] == 0
    tree = read_tree(container, FOLDER)
    database = alternative_names(x509.load_pem_x509_certificate(tree["certs/kojidatabase.crt"][1]))
    ips = [str(ip) for ip in database.get_values_for_type(x509.IPAddress)]
    assert ips[2:] == ["192.0.2.7", "2001:db8::7"]
    assert "db.example.org" in database.get_values_for_type(x509.DNSName)


def test_names_every_wrong_name_and_makes_nothing(containers: Containers) -> None:
    wrong = {"KOJI_DATABASE_NAMES": "good.example.org,-bad- 300.1.1.1 a/b"}
    container = containers.start(IMAGE, environment=wrong)
    status, output = outcome(container)
    assert status == 1
    for name in ("'-bad-'", "'300.1.1.1'", "'a/b'"):
        assert name in output
    assert "good.example.org" not in output
    assert list(read_tree(container, FOLDER)) == [""]


def test_the_browsers_file_opens_with_the_documented_password(credentials: Path) -> None:
    browser = (credentials / "kojiadmin_browser_cert.p12").read_bytes()
    key, leaf, chain = pkcs12.load_key_and_certificates(browser, b"koji")
    assert key is not None
    assert leaf == certificate(credentials, "kojiadmin")
    assert key.public_key() == leaf.public_key()
    assert len(chain) == 1


def test_is_ready_once_all_is_made(kojicreds: Container, containers: Containers) -> None:
    ask = ("python3", "/usr/lib/nagoya/health.py")
    assert containers.finish(IMAGE, *ask, volumes_from=[f"{kojicreds.name}:ro"]) == (
        0,
        f"ready: certificates in {FOLDER}\n",
    )
    assert containers.finish(IMAGE, *ask) == (1, f"not ready: {FOLDER} is empty\n")
