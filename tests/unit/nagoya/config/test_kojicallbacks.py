"""kojicallbacks.py on a home folder of the test's own; the container is made up."""

import configparser
import json
import stat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import kojicallbacks
from nagoya.errors import LifecycleError


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def member(home: Path) -> Any:
    said: list[str] = []
    return SimpleNamespace(
        system="some",
        home=home,
        name="koji",
        said=said,
        log=said.append,
        state=lambda: SimpleNamespace(ports={443: 40443}, address="172.18.0.4"),
        read_file=lambda path: f"content of {path}".encode(),
    )


def test_credentials_come_out_readable_by_their_owner_alone(home: Path, member: Any) -> None:
    kojicallbacks.extract_credentials(member)
    folder = home / ".koji/nagoya/some"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for name in kojicallbacks.CREDENTIALS:
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
        assert (folder / name).read_text() == f"content of /etc/pki/koji/{name}"


def test_the_key_of_the_authority_stays_in_the_volume() -> None:
    assert not [name for name in kojicallbacks.CREDENTIALS if name.endswith(".key")]


def test_a_second_extraction_replaces_the_first(home: Path, member: Any) -> None:
    kojicallbacks.extract_credentials(member)
    member.read_file = lambda path: b"another"
    kojicallbacks.extract_credentials(member)
    assert (home / ".koji/nagoya/some/kojiadmin.pem").read_text() == "another"


def test_cleanup_takes_away_only_its_own_system(home: Path, member: Any) -> None:
    kojicallbacks.extract_credentials(member)
    other = home / ".koji/nagoya/other/kojiadmin.pem"
    other.parent.mkdir()
    other.touch()
    kojicallbacks.cleanup_credentials(member)
    kojicallbacks.cleanup_credentials(member)
    assert other.exists()
    assert not (home / ".koji/nagoya/some").exists()


def test_the_profile_is_one_that_koji_reads(home: Path, member: Any) -> None:
    kojicallbacks.update_config_profile(member)
    profile = configparser.ConfigParser()
    profile.read(home / ".koji/config.d/nagoya-some.conf")
    assert dict(profile["nagoya-some"]) == {
        "server": "https://127.0.0.1:40443/kojihub",
        "weburl": "https://127.0.0.1:40443/koji",
        "topurl": "https://127.0.0.1:40443/kojifiles",
        "authtype": "ssl",
        "cert": str(home / ".koji/nagoya/some/kojiadmin.pem"),
        "serverca": str(home / ".koji/nagoya/some/koji_ca_cert.crt"),
    }
    assert profile.sections() == ["nagoya-some"]


def test_the_description_names_urls_and_paths(home: Path, member: Any) -> None:
    kojicallbacks.update_config_profile(member)
    told = json.loads((home / ".koji/nagoya/some/koji.json").read_text())
    assert told["urls"]["hub"] == "https://127.0.0.1:40443/kojihub"
    assert told["profile"] == "nagoya-some"
    assert told["certificate"] == str(home / ".koji/nagoya/some/kojiadmin.pem")


def test_a_profile_that_is_not_ours_is_never_touched(home: Path, member: Any) -> None:
    theirs = home / ".koji/config.d/nagoya-some.conf"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("[nagoya-some]\nserver = https://elsewhere/kojihub\n")
    with pytest.raises(LifecycleError, match="was not written by toji"):
        kojicallbacks.update_config_profile(member)
    kojicallbacks.remove_config_profile(member)
    assert "elsewhere" in theirs.read_text()


def test_a_hub_that_publishes_no_port_is_told(member: Any) -> None:
    member.state = lambda: SimpleNamespace(ports={})
    with pytest.raises(LifecycleError, match="publishes no port 443"):
        kojicallbacks.update_config_profile(member)


def test_removing_the_profile_twice_is_harmless(home: Path, member: Any) -> None:
    kojicallbacks.update_config_profile(member)
    kojicallbacks.remove_config_profile(member)
    kojicallbacks.remove_config_profile(member)
    assert not (home / ".koji/config.d/nagoya-some.conf").exists()


def test_addresses_are_told(member: Any) -> None:
    kojicallbacks.show_network(member)
    kojicallbacks.show_kojiweb_url(member)
    assert member.said[0] == "koji is 172.18.0.4 on the network some"
    assert member.said[1] == "kojiweb: https://127.0.0.1:40443/koji"
