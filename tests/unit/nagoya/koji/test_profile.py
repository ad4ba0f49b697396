"""kojicallbacks.py, and the profile that it writes, in a home folder of the test's own."""

import configparser
import json
import stat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import koji
import pytest

import kojicallbacks
from nagoya.engine.state import State
from nagoya.errors import LifecycleError
from nagoya.koji.credentials import CREDENTIALS
from nagoya.koji.profile import Profile, local_urls, profile_of


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def state(
    ports: dict[int, int], host: str = "127.0.0.1", address: str = "127.0.0.1", **variables: str
) -> State:
    """A hub that publishes these ports on an address."""
    bindings = {
        f"{port}/tcp": [{"HostIp": address, "HostPort": str(ports[port])}] for port in ports
    }
    return State.parse(
        {
            "Name": "/some-thehub", "Image": "sha256:1", "Mounts": [], "RestartCount": 0,
            "State": {"Status": "running", "ExitCode": 0, "StartedAt": "2026-01-01T00:00:00Z"},
            "Config": {
                "Hostname": "thehub", "Image": "tiny", "Labels": {"nagoya.host": host},
                "Env": [f"{name}={value}" for name, value in variables.items()],
            },
            "HostConfig": {"PortBindings": bindings},
            "NetworkSettings": {"Networks": {"some": {"IPAddress": "172.18.0.4"}}},
        }
    )  # fmt: skip


@pytest.fixture
def container(home: Path) -> Any:
    logged: list[str] = []
    return SimpleNamespace(
        system="some",
        home=home,
        name="thehub",
        logged=logged,
        log=logged.append,
        state=lambda: state({443: 40443, 80: 40080}),
        read_file=lambda path: f"content of {path}".encode(),
    )


def system(home: Path) -> Any:
    return SimpleNamespace(name="some", owner=SimpleNamespace(home=home))


def test_credentials_come_out_readable_by_their_owner_alone(home: Path, container: Any) -> None:
    kojicallbacks.extract_credentials(container)
    folder = home / ".koji/nagoya/some"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for name in CREDENTIALS:
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
        assert (folder / name).read_text() == f"content of /etc/pki/koji/{name}"


def test_the_key_of_the_authority_stays_in_the_volume() -> None:
    assert not [name for name in CREDENTIALS if name.endswith(".key")]


def test_a_second_extraction_replaces_the_first(home: Path, container: Any) -> None:
    kojicallbacks.extract_credentials(container)
    container.read_file = lambda path: b"another"
    kojicallbacks.extract_credentials(container)
    assert (home / ".koji/nagoya/some/kojiadmin.pem").read_text() == "another"


def test_files_of_an_authority_that_is_trusted_no_more_are_deleted(
    home: Path, container: Any
) -> None:
    first, second, third = (
        b"-----BEGIN CERTIFICATE-----\n%d\n-----END CERTIFICATE-----\n" % number
        for number in (1, 2, 3)
    )
    container.read_file = lambda path: first
    kojicallbacks.extract_credentials(container)
    alice = home / ".koji/nagoya/some/alice.pem"
    alice.write_text("issued by the first authority")
    for trusted in (first, second + first):
        container.read_file = lambda path, trusted=trusted: trusted
        kojicallbacks.extract_credentials(container)
        assert alice.exists()
    container.read_file = lambda path: third
    kojicallbacks.extract_credentials(container)
    assert not alice.exists()


def test_cleanup_takes_away_only_its_own_system(home: Path, container: Any) -> None:
    kojicallbacks.extract_credentials(container)
    other = home / ".koji/nagoya/other/kojiadmin.pem"
    other.parent.mkdir()
    other.touch()
    kojicallbacks.cleanup_credentials(container)
    kojicallbacks.cleanup_credentials(container)
    assert other.exists()
    assert not (home / ".koji/nagoya/some").exists()


def test_the_profile_is_one_that_koji_reads(home: Path, container: Any) -> None:
    kojicallbacks.update_config_profile(container)
    profile = configparser.ConfigParser()
    profile.read(home / ".koji/config.d/nagoya-some.conf")
    assert dict(profile["nagoya-some"]) == {
        "server": "https://127.0.0.1:40443/kojihub",
        "weburl": "https://127.0.0.1:40443/koji",
        # Clients of every version download with the machine's authorities alone.
        "topurl": "http://127.0.0.1:40080/kojifiles",
        "authtype": "ssl",
        "cert": str(home / ".koji/nagoya/some/kojiadmin.pem"),
        "serverca": str(home / ".koji/nagoya/some/koji_ca_cert.crt"),
        "upload_blocksize": "16777216",
        # Koji's own would take ten minutes to say that a hub is down.
        "max_retries": "5",
        "retry_interval": "2",
    }
    assert profile.sections() == ["nagoya-some"]


def test_kojis_client_reads_the_profile(home: Path, container: Any) -> None:
    kojicallbacks.update_config_profile(container)
    options = koji.read_config("nagoya-some")
    assert options["topurl"] == "http://127.0.0.1:40080/kojifiles"
    assert (options["max_retries"], options["retry_interval"]) == (5, 2)
    assert options["upload_blocksize"] == 1 << 24


def test_a_hub_without_port_80_serves_downloads_by_https(container: Any) -> None:
    container.state = lambda: state({443: 40443})
    assert profile_of(container).urls["topurl"] == "https://127.0.0.1:40443/kojifiles"


def test_urls_name_the_host_on_which_ports_are_reached(container: Any) -> None:
    container.state = lambda: state({443: 40443, 80: 40080}, "docker", "172.17.0.1")
    assert profile_of(container).urls["hub"] == "https://docker:40443/kojihub"
    assert profile_of(container).urls["topurl"] == "http://docker:40080/kojifiles"


def test_urls_name_an_address_on_which_a_port_alone_is_published(container: Any) -> None:
    container.state = lambda: state({443: 443, 80: 80}, address="192.0.2.7")
    assert profile_of(container).urls["hub"] == "https://192.0.2.7:443/kojihub"
    assert profile_of(container).urls["topurl"] == "http://192.0.2.7:80/kojifiles"
    container.state = lambda: state({443: 443}, address="::")
    assert profile_of(container).urls["hub"] == "https://[::1]:443/kojihub"


def test_urls_follow_the_site_s(container: Any) -> None:
    site = {"KOJI_WEB_URL": "https://koji.example.com/koji/"}
    container.state = lambda: state({443: 443, 80: 8080}, address="0.0.0.0", **site)
    assert profile_of(container).urls == {
        "hub": "https://koji.example.com/kojihub",
        "web": "https://koji.example.com/koji",
        "files": "https://koji.example.com/kojifiles",
        "topurl": "http://koji.example.com:8080/kojifiles",
    }
    # A certificate that browsers trust is not for those who trust the system's authority.
    own = {**site, "KOJI_SITE_CERTIFICATE": "/etc/pki/koji/site.pem"}
    container.state = lambda: state({443: 443, 80: 8080}, address="0.0.0.0", **own)
    assert profile_of(container).urls["hub"] == "https://127.0.0.1:443/kojihub"
    assert profile_of(container).urls["web"] == "https://koji.example.com/koji"
    # Behind a proxy, plain HTTP is for this machine.
    container.state = lambda: state({443: 8443, 80: 8080}, **site)
    assert profile_of(container).urls["topurl"] == "http://127.0.0.1:8080/kojifiles"
    assert local_urls(container.state())["hub"] == "https://127.0.0.1:8443/kojihub"


def test_the_description_names_urls_and_paths(home: Path, container: Any) -> None:
    kojicallbacks.update_config_profile(container)
    saved = json.loads((home / ".koji/nagoya/some/koji.json").read_text())
    assert saved["urls"]["hub"] == "https://127.0.0.1:40443/kojihub"
    assert saved["urls"]["files"] == "https://127.0.0.1:40443/kojifiles"
    assert saved["profile"] == "nagoya-some"
    assert saved["certificate"] == str(home / ".koji/nagoya/some/kojiadmin.pem")


def test_what_is_saved_is_loaded(home: Path, container: Any) -> None:
    kojicallbacks.update_config_profile(container)
    assert Profile.load(system(home)) == profile_of(container)


def test_the_hub_has_the_name_of_its_container(home: Path, container: Any) -> None:
    kojicallbacks.update_config_profile(container)
    assert Profile.load(system(home)).hub == "thehub"


@pytest.mark.parametrize("content", [None, "{", "[]", "{}"])
def test_a_description_that_cannot_be_read(
    home: Path, container: Any, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    """Whether there is such a system at all is asked first."""
    names: list[str] = []
    monkeypatch.setattr(
        "nagoya.koji.profile.require_system", lambda engine, name: names.append(name)
    )
    kojicallbacks.update_config_profile(container)
    path = home / ".koji/nagoya/some/koji.json"
    path.unlink() if content is None else path.write_text(content)
    some = SimpleNamespace(**vars(system(home)), engine=None)
    with pytest.raises(LifecycleError, match=r"profile of 'some' cannot be read: .*koji\.json"):
        Profile.load(some)  # type: ignore[arg-type]
    assert names == ["some"]


def test_a_profile_that_is_not_ours_is_never_touched(home: Path, container: Any) -> None:
    theirs = home / ".koji/config.d/nagoya-some.conf"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("[nagoya-some]\nserver = https://elsewhere/kojihub\n")
    with pytest.raises(LifecycleError, match="was not written by toji"):
        kojicallbacks.update_config_profile(container)
    kojicallbacks.remove_config_profile(container)
    assert "elsewhere" in theirs.read_text()


def test_a_hub_that_publishes_no_port_is_reported(container: Any) -> None:
    container.state = lambda: state({})
    with pytest.raises(LifecycleError, match="publishes no port 443") as caught:
        kojicallbacks.update_config_profile(container)
    assert str(caught.value.hint).endswith("`toji --system some up`")


def test_removing_the_profile_twice_is_harmless(home: Path, container: Any) -> None:
    kojicallbacks.update_config_profile(container)
    kojicallbacks.remove_config_profile(container)
    kojicallbacks.remove_config_profile(container)
    assert not (home / ".koji/config.d/nagoya-some.conf").exists()


def test_addresses_are_reported(container: Any) -> None:
    kojicallbacks.show_network(container)
    kojicallbacks.show_kojiweb_url(container)
    assert container.logged[0] == "thehub is 172.18.0.4 on the network some"
    assert container.logged[1] == "kojiweb: https://127.0.0.1:40443/koji"
