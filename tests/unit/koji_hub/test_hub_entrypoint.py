"""koji-hub's entrypoint on a temporary root, for the user who runs the tests."""

import configparser
import os
import pwd
import stat
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import ModuleType

import pytest

from util import certificates, files
from util.certificates import Authority
from util.entry import Fatal

USER = pwd.getpwuid(os.geteuid()).pw_name


@pytest.fixture
def script(load_script: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    script = load_script("koji-hub/entrypoint.py")
    monkeypatch.setattr(script, "USER", USER)
    return script


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with finished credentials and a top directory."""
    folder = tmp_path / "etc/pki/koji"
    folder.mkdir(parents=True)
    authority = Authority.create(folder)
    authority.issue("kojihub", server=True, client=True)
    for name in ("kojiweb", "kojira"):
        authority.issue(name, client=True)
    files.mark_done(folder)
    for path in (
        "dev/shm",
        "etc/koji-hub",
        "etc/koji-gc",
        "etc/koji-sweep-db",
        "etc/kojira",
        "mnt/koji/packages",
        "run/koji-hub",
    ):
        (tmp_path / path).mkdir(parents=True)
    return tmp_path


def written(script: ModuleType, root: Path, **values: str) -> dict[str, configparser.ConfigParser]:
    """The three files, as Koji reads them."""
    settings = script.Settings.read(values, root)
    script.copy_credentials(root, USER)
    script.write_configuration(root, settings)
    script.configure_kojira(root, settings, script.OWN_HUB, USER)
    paths = {
        "hub": root / "etc/koji-hub/hub.conf",
        "web": root / "dev/shm/koji-hub/web.conf",
        "kojira": root / "etc/kojira/kojira.conf",
    }
    parsers: dict[str, configparser.ConfigParser] = {}
    for name, path in paths.items():
        parsers[name] = configparser.ConfigParser(interpolation=None)
        if name == "web":
            parsers[name] = configparser.ConfigParser()
        parsers[name].read_string(path.read_text())
    return parsers


def test_an_empty_environment_will_do(script: ModuleType, root: Path) -> None:
    config = written(script, root)
    hub = config["hub"]["hub"]
    assert hub["proxydns"] == "CN=kojiweb,O=Nagoya"
    assert not config["hub"].getboolean("hub", "logincreatesuser")
    assert config["hub"].getboolean("hub", "disablenotifications")
    assert not config["hub"].getboolean("hub", "enablemaven")
    assert "policy" not in config["hub"]
    assert (hub["runinterval"], hub["repolag"]) == ("0", "-1")
    assert config["web"]["web"]["kojifilesurl"] == "/kojifiles"
    assert config["kojira"]["kojira"]["sleeptime"] == "2"


def test_the_environment_is_heard(script: ModuleType, root: Path) -> None:
    plugins = root / "usr/local/lib/koji-hub-plugins"
    plugins.mkdir(parents=True)
    (plugins / "echo.py").touch()
    config = written(
        script,
        root,
        KOJI_DATABASE_HOST="db.example.com",
        KOJI_SITE_NAME="100% ours",
        KOJI_WEB_URL="https://koji.example.com:8443/koji/",
        KOJI_FILES_URL="https://files.example.com/koji/",
        KOJI_WEB_SECRET="s3cret",
        KOJI_LOG_LEVEL="debug",
        KOJI_HUB_PLUGINS="echo",
        KOJI_ENABLE_MAVEN="yes",
        KOJI_NOTIFICATIONS="yes",
        KOJIRA_SLEEPTIME="9",
    )
    hub = config["hub"]["hub"]
    assert "host=db.example.com " in hub["dbconnectionstring"]
    assert "sslmode=verify-full" in hub["dbconnectionstring"]
    assert hub["kojiweburl"] == "https://koji.example.com:8443/koji"
    assert (hub["plugins"], hub["loglevel"], hub["enablemaven"]) == ("echo", "DEBUG", "True")
    assert hub["disablenotifications"] == "False"
    web = config["web"]["web"]
    assert web["sitename"] == "100% ours"
    assert web["kojifilesurl"] == "https://files.example.com/koji"
    assert web["secret"] == "s3cret"
    assert config["kojira"]["kojira"]["sleeptime"] == "9"
    assert config["kojira"].getboolean("kojira", "debug")


def test_kojira_asks_the_hub_beside_it_or_another(script: ModuleType, root: Path) -> None:
    assert written(script, root)["kojira"]["kojira"]["server"] == "https://localhost/kojihub"
    settings = script.Settings.read({}, root)
    assert settings.hub == "https://koji/kojihub"
    script.configure_kojira(root, settings, settings.hub, USER)
    assert "server = https://koji/kojihub\n" in (root / "etc/kojira/kojira.conf").read_text()


def test_plain_http_redirects_to_the_configured_url(script: ModuleType, root: Path) -> None:
    read = script.Settings.read
    assert read({}, root).https_origin == "https://%{SERVER_NAME}"
    url = "https://koji.example.com:8443/koji"
    assert read({"KOJI_WEB_URL": url}, root).https_origin == "https://koji.example.com:8443"


@pytest.mark.parametrize(
    ("name", "public"),
    [("koji.example.com", True), ("koji", False), ("192.0.2.7", False), ("[2001:db8::7]", False)],
)
def test_a_name_that_browsers_may_remember(
    script: ModuleType, root: Path, name: str, public: bool
) -> None:
    assert not script.Settings.read({}, root).has_public_name
    settings = script.Settings.read({"KOJI_WEB_URL": f"https://{name}:8443/koji"}, root)
    assert settings.has_public_name == public


def test_the_site_has_the_last_word(script: ModuleType, root: Path) -> None:
    for path, text in {
        "etc/koji-hub/hub.conf.d/a.conf": "[hub]\nEmailDomain = example.com\nLogLevel = ERROR\n",
        "etc/kojiweb/web.conf.d/a.conf": "[web]\nKojiGreeting = Hello\n",
        "etc/kojira/kojira.conf.d/a.conf": "[kojira]\nsleeptime = 30\n",
    }.items():
        (root / path).parent.mkdir(parents=True)
        (root / path).write_text(text)
    config = written(script, root)
    assert config["hub"]["hub"]["emaildomain"] == "example.com"
    assert config["hub"]["hub"]["loglevel"] == "ERROR"
    assert config["web"]["web"]["kojigreeting"] == "Hello"
    assert config["kojira"]["kojira"]["sleeptime"] == "30"


def test_every_error_in_the_environment_is_reported_at_once(script: ModuleType, root: Path) -> None:
    values = {
        "KOJI_DATABASE_HOST": "a b",
        "KOJI_WAIT_SECONDS": "soon",
        "KOJI_WEB_URL": "koji",
        "KOJI_FILES_URL": "kojifiles",
        "KOJI_LOG_LEVEL": "LOUD",
        "KOJI_HUB_PLUGINS": "nothing",
        "KOJI_HUB_PROCESSES": "0",
        "KOJI_ENABLE_MAVEN": "perhaps",
        "KOJI_HUB_URL": "koji",
        "KOJIRA_SLEEPTIME": "0.5",
    }
    twice = {"KOJI_WEB_SECRET": "a", "KOJI_WEB_SECRET_FILE": "/b"}
    with pytest.raises(Fatal) as refusal:
        script.Settings.read({**values, **twice}, root)
    for name in (*values, "KOJI_WEB_SECRET"):
        assert f"{name}: " in str(refusal.value)


def test_kojiwebs_secret_is_the_instances_own_and_stays(
    script: ModuleType, root: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = root / "etc/pki/koji"
    first = written(script, root)["web"]["web"]["secret"]
    assert first == written(script, root)["web"]["web"]["secret"] == script.web_secret(folder, None)
    assert len(first) == 64
    other = tmp_path_factory.mktemp("other")
    Authority.create(other).issue("kojiweb", client=True)
    assert script.web_secret(other, None) != first


@pytest.mark.parametrize("chosen", [{}, {"KOJI_WEB_SECRET": "chosen"}])
def test_kojiwebs_secret_changes_when_a_certificate_is_revoked(
    script: ModuleType, root: Path, chosen: dict[str, str]
) -> None:
    """A cookie is as good as the certificate that it was given for, whatever authority is next."""
    secrets = {written(script, root, **chosen)["web"]["web"]["secret"]}
    authority = Authority.load(root / "etc/pki/koji")
    for _ in range(2):
        authority.issue("alice", client=True)
        authority.revoke("alice", [certificates.load(authority.folder / "alice.pem")])
        secrets.add(written(script, root, **chosen)["web"]["web"]["secret"])
        authority.write_revocations()
        secrets.add(written(script, root, **chosen)["web"]["web"]["secret"])
    assert len(secrets) == 3
    last = written(script, root, **chosen)["web"]["web"]["secret"]
    authority.rotate().retire().write_revocations()
    secrets.add(written(script, root, **chosen)["web"]["web"]["secret"])
    assert (last in secrets, len(secrets)) == (True, 3)


def test_an_authority_of_an_earlier_nagoya_has_revoked_nothing(
    script: ModuleType, root: Path
) -> None:
    (root / "etc/pki/koji/koji_ca.crl").unlink()
    script.copy_credentials(root, USER)
    assert certificates.read_revocations(root / script.RUN / "revoked.crl") == []


def test_an_expired_certificate_is_told_in_one_line(
    script: ModuleType,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    authority = Authority.load(root / "etc/pki/koji")
    for name in ("kojidatabase", "kojiadmin"):
        authority.issue(name, client=True)
    script.check_certificates(root)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(certificates, "CERTIFICATE_LIFE", timedelta(minutes=30))
    authority.renew("kojira")
    script.check_certificates(root)
    (line,) = capsys.readouterr().err.splitlines()
    assert "expired certificates: kojira (" in line
    assert "`toji credentials renew`" in line
    authority.renew("kojihub")
    with pytest.raises(Fatal, match=r"^expired certificates: kojihub \(\d+-\d+-\d+\)$") as refusal:
        script.check_certificates(root)
    assert "`toji credentials renew`" in str(refusal.value.hint)


def test_keys_and_the_secret_are_private(script: ModuleType, root: Path) -> None:
    written(script, root)
    private = root / script.PRIVATE
    assert stat.S_IMODE(private.stat().st_mode) == 0o700
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in private.iterdir()} == {
        "database.sslcert": 0o400,
        "database.sslrootcert": 0o400,
        "kojira.pem": 0o400,
        "kojiweb.pem": 0o400,
        "web.conf": 0o400,
    }


@pytest.mark.parametrize(
    ("missing", "hint"),
    [
        ("etc/pki/koji/.complete", "--volumes-from kojicreds:ro"),
        ("mnt/koji/packages", "--volumes-from kojitop:rw"),
    ],
)
def test_refuses_to_start_without_its_volumes(
    script: ModuleType, root: Path, missing: str, hint: str
) -> None:
    script.check_volumes(root)
    path = root / missing
    if path.is_dir():
        path.rmdir()
    else:
        path.unlink()
    with pytest.raises(Fatal) as refusal:
        script.check_volumes(root)
    assert hint in str(refusal.value.hint)


def test_kerberos_is_off_without_a_keytab(script: ModuleType, root: Path) -> None:
    config = written(script, root)
    assert not config["hub"].getboolean("hub", "allowproxyauthtype")
    assert "webauthtype" not in config["web"]["web"]
    (root / "etc/koji.keytab").write_bytes(b"\x05\x02 \x00\x04HTTP")
    config = written(script, root, KOJI_KEYTAB="/etc/koji.keytab")
    assert config["hub"].getboolean("hub", "allowproxyauthtype")
    assert config["web"]["web"]["webauthtype"] == "gssapi"
