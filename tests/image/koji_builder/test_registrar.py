"""What a builder gets from the hub's registrar, and what root in a builder cannot get."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from docker.models.containers import Container

from tests.image.running import Hub, Koji
from tests.image.tracked import execute, wait_ready
from util import certificates

ISSUED = "/run/koji-hub/builders"

# Ask as root in a builder could; prints the registrar's answer, or nothing within some seconds.
ASK = """
import json, sys, time
from pathlib import Path
sys.path.insert(0, "/usr/lib/nagoya")
from util import certificates, exchange
name, verb, spoil = sys.argv[1:]
new = {"arches": ["x86_64"], "channels": ["default"]}
builder = {"name": name, "arches": None, "channels": None, "capacity": None, "new": new}
request = exchange.make(certificates.make_key(), name, verb, builder=builder)
number = json.loads(json.loads(request)["body"])["id"]
folder = Path("/", exchange.FOLDER)
(folder / "new").write_bytes(request.replace(spoil.encode(), b"x", 1) if spoil else request)
(folder / "new").rename(folder / f"{name}.request")
deadline = time.monotonic() + (3 if spoil else 30)
while time.monotonic() < deadline:
    try:
        answer = json.loads((folder / f"{name}.reply").read_bytes())
    except FileNotFoundError:
        answer = {}
    if answer.get("id") == number:
        print(json.dumps(answer))
        break
    time.sleep(0.1)
"""


@pytest.fixture(scope="module")
def builder(running_koji: Koji, hub: Hub) -> Container:
    """A builder that is at work."""
    container = running_koji.start_builder("worker")
    wait_ready(container)
    return container


@pytest.fixture(scope="module")
def mallory(running_koji: Koji, hub: Hub) -> Container:
    """Where root asks for what is not its own."""
    return running_koji.start_builder("mallory", "sleep", "infinity")


def ask(container: Container, name: str, verb: str = "join", spoil: str = "") -> dict[str, str]:
    status, output = execute(container, "python3", "-c", ASK, name, verb, spoil)
    assert status == 0, output
    return dict(json.loads(output or "{}"))


def test_a_builder_sees_no_key_but_its_own(builder: Container, credentials: Path) -> None:
    """Nowhere, root or not: neither in its layers nor in a volume."""
    command = ["grep", "-rlIE", "--devices=skip", "--exclude-dir=proc", "--exclude-dir=sys"]
    paths = execute(builder, *command, "^-----BEGIN ([A-Z]+ )?PRIVATE KEY", "/")[1].split()
    assert set(paths) == {"/etc/pki/koji/private/worker.key", "/etc/pki/koji/worker.pem"}
    own = execute(builder, "cat", *paths)[1]
    for key in (credentials / "private").iterdir():
        assert key.read_text().splitlines()[1] not in own


def test_a_builder_renews_its_certificate_while_it_works(
    builder: Container, hub: Hub, credentials: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def held() -> x509.Certificate:
        pem = execute(builder, "cat", "/etc/pki/koji/worker.pem")[1]
        return x509.load_pem_x509_certificate(pem.encode())

    with monkeypatch.context() as patch:
        patch.setattr(certificates, "CERTIFICATE_LIFE", timedelta(days=20))
        authority = certificates.Authority.load(credentials)
        short = authority.sign("worker", held().public_key(), client=True)  # type: ignore[arg-type]
    text = certificates.pem(short).decode()
    for container, folder in ((builder, "/etc/pki/koji/certs"), (hub.container, ISSUED)):
        write = ("sh", "-c", f"echo '{text}' >{folder}/worker.crt")
        assert execute(container, *write) == (0, "")
    renew = ("python3", "/usr/lib/nagoya/registration.py", "renew")
    assert execute(builder, *renew) == (
        0, "koji-builder: the certificate of worker was renewed\n"
    )  # fmt: skip
    assert held().not_valid_after_utc > short.not_valid_after_utc
    assert held().public_key() == short.public_key()
    assert execute(builder, *renew) == (0, "")
    assert execute(builder, "sh", "-c", "kill -USR1 1")[0] == 0  # kojid starts again, and logs in
    wait_ready(builder)


@pytest.mark.parametrize("name", ["kojiadmin", "kojihub", "kojidatabase", "kojira", "kojiweb"])
def test_the_names_of_kojis_own_parts_are_refused(mallory: Container, name: str) -> None:
    assert ask(mallory, name)["refused"] == f"'{name}' is the name of a user"


def test_the_name_of_a_user_is_refused(mallory: Container, hub: Hub) -> None:
    hub.login().createUser("alice")
    assert ask(mallory, "alice")["refused"] == "'alice' is the name of a user"


def test_the_name_of_a_builder_at_work_is_refused(
    mallory: Container, builder: Container, hub: Hub
) -> None:
    assert ask(mallory, "worker")["refused"] == "another builder named worker is at work"
    for verb in ("disable", "leave"):
        expected = "it has another key than the builder of that name"
        assert ask(mallory, "worker", verb)["refused"] == expected
    assert hub.session().getHost("worker")["enabled"]


@pytest.mark.parametrize("name", ["worker", "new"])
def test_a_request_that_is_not_signed_is_ignored(
    mallory: Container, builder: Container, hub: Hub, name: str
) -> None:
    assert ask(mallory, name, spoil="x86_64") == {}
    assert hub.session().getHost("new") is None


def test_a_new_name_is_certified_and_registered(mallory: Container, hub: Hub) -> None:
    answer = ask(mallory, "young")
    assert answer["certificate"].startswith("-----BEGIN CERTIFICATE-----")
    assert hub.session().getHost("young")["enabled"]


@pytest.mark.parametrize(
    "planted",
    [
        "ln -s /etc/pki/koji/private/koji_ca_cert.key p.request",
        "mkfifo p.request",
        "mkdir p.request",
        "mkdir good.reply",
        "rm -rf .taken; mkdir -p .taken/x",
        "dd if=/dev/zero of=p.request bs=1M count=1",
        "echo '[]' > p.request",
        'echo \'{"body": 1, "key": 2, "signature": 3}\' > p.request',
    ],
)
def test_what_a_builder_plants_there_stops_nothing(
    mallory: Container, hub: Hub, planted: str
) -> None:
    folder = "/etc/pki/koji-builders"
    assert execute(mallory, "sh", "-c", f"cd {folder} && {planted}")[0] == 0
    assert "certificate" in ask(mallory, "sound")
    execute(mallory, "sh", "-c", f"cd {folder} && rm -rf p.request *.reply")
    assert "PRIVATE KEY" not in hub.container.logs().decode()
