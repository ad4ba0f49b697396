"""koji-builder's entrypoint on a temporary root."""

import configparser
import os
import ssl
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from util import files
from util.bundle import Bundle
from util.certificates import Authority, key_pem, make_key, pem
from util.entry import Fatal


@pytest.fixture
def script(load_script: Callable[[str], ModuleType]) -> ModuleType:
    return load_script("koji-builder/entrypoint.py")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with finished credentials and a trust store with another authority."""
    folder = tmp_path / "etc/pki/koji"
    folder.mkdir(parents=True)
    Authority.create(folder)
    files.mark_done(folder)
    other = tmp_path / "other"
    other.mkdir()
    Authority.create(other)
    bundle = tmp_path / "etc/ssl/certs/ca-certificates.crt"
    for path in (bundle.parent, tmp_path / "usr/local/share/ca-certificates"):
        path.mkdir(parents=True)
    bundle.write_text((other / "koji_ca_cert.crt").read_text())
    return tmp_path


def options(script: ModuleType, **values: str) -> configparser.SectionProxy:
    parser = configparser.RawConfigParser()
    parser.read_dict(script.kojid_options(script.Settings.read(values, "kojibuilder")))
    return parser["kojid"]


def test_an_empty_environment_will_do(script: ModuleType) -> None:
    settings = script.Settings.read({}, "kojibuilder")
    assert settings.name == "kojibuilder"
    # Unset values do not change a known host.
    assert (settings.arches, settings.channels, settings.capacity) == (None, None, None)
    assert script.builder(settings)["new"]["channels"] == ["default", "createrepo"]
    kojid = options(script)
    assert kojid["server"] == "https://koji/kojihub"
    assert kojid["cert"] == "/etc/pki/koji/kojibuilder.pem"
    assert (kojid["sleeptime"], kojid["minspace"], kojid["allowed_scms"]) == ("1", "2048", "")


def test_the_environment_is_heard(script: ModuleType) -> None:
    values = {
        "KOJI_HUB_URL": "https://hub.example.com/kojihub",
        "KOJI_FILES_URL": "http://files.example.com/koji/",
        "KOJI_BUILDER_NAME": "b1.example.com",
        "KOJI_BUILDER_ARCHES": "x86_64, i686",
        "KOJI_BUILDER_CHANNELS": "default maven",
        "KOJI_BUILDER_CAPACITY": "4.5",
        "KOJI_BUILDER_MAXJOBS": "3",
        "KOJI_BUILDER_SLEEPTIME": "7",
        "KOJI_BUILDER_MINSPACE": "0",
        "KOJI_BUILDER_ALLOWED_SCMS": "git.example.com:/a/*:no:make,sources svn.example.com:/b",
        "KOJI_LOG_LEVEL": "debug",
    }
    settings = script.Settings.read(values, "kojibuilder")
    assert (settings.arches, settings.channels) == (("x86_64", "i686"), ("default", "maven"))
    assert settings.capacity == 4.5
    kojid = options(script, **values)
    assert kojid["cert"] == "/etc/pki/koji/b1.example.com.pem"
    assert kojid["topurl"] == "http://files.example.com/koji"
    assert kojid["allowed_scms"] == values["KOJI_BUILDER_ALLOWED_SCMS"]
    assert (kojid["maxjobs"], kojid["sleeptime"], kojid["log_level"]) == ("3", "7", "DEBUG")
    # It is proportional to sleeptime.
    assert kojid["task_avail_delay"] == "35"


def test_every_error_in_the_environment_is_reported_at_once(script: ModuleType) -> None:
    values = {
        "KOJI_HUB_URL": "http://koji/kojihub",
        "KOJI_FILES_URL": "koji",
        "KOJI_WAIT_SECONDS": "-1",
        "KOJI_BUILDER_NAME": "no name",
        "KOJI_BUILDER_ARCHES": "x86-64",
        "KOJI_BUILDER_CAPACITY": "much",
        "KOJI_BUILDER_MAXJOBS": "0",
        "KOJI_BUILDER_SLEEPTIME": "0",
        "KOJI_BUILDER_MINSPACE": "1 GB",
        "KOJI_BUILDER_ALLOWED_SCMS": "git.example.com",
        "KOJI_BUILDER_MOCK": "/no/such",
        "KOJI_LOG_LEVEL": "LOUD",
    }
    with pytest.raises(Fatal) as refusal:
        script.Settings.read(values, "kojibuilder")
    for name in values:
        assert f"{name}: " in str(refusal.value)


@pytest.mark.parametrize("capacity", ["1", "-2"])
def test_a_capacity_that_kojis_database_would_refuse(script: ModuleType, capacity: str) -> None:
    with pytest.raises(Fatal, match="KOJI_BUILDER_CAPACITY: Koji's database requires more than 1"):
        script.Settings.read({"KOJI_BUILDER_CAPACITY": capacity}, "kojibuilder")


@pytest.mark.parametrize("name", ["kojihub", "kojidatabase", "kojiadmin", "kojira", "kojiweb"])
def test_refuses_to_overwrite_a_certificate_of_kojis_own(script: ModuleType, name: str) -> None:
    with pytest.raises(Fatal, match="is one of Koji's own users"):
        script.Settings.read({}, name)


def test_needs_the_folder_that_it_shares_with_the_hub(script: ModuleType, tmp_path: Path) -> None:
    shared = tmp_path / "etc/pki/koji-builders"
    with pytest.raises(Fatal, match=r"the folder .* is missing or not writable") as refusal:
        script.find_hub(tmp_path, "https://koji/kojihub", 0)
    assert "--volume kojibuilders:/etc/pki/koji-builders" in str(refusal.value.hint)
    shared.mkdir(parents=True)
    with pytest.raises(Fatal, match="gave up waiting for the hub at https://koji/kojihub"):
        script.find_hub(tmp_path, "https://koji/kojihub", 0)


def test_refuses_to_start_where_it_sees_the_authoritys_key(script: ModuleType, root: Path) -> None:
    (root / "etc/pki/koji-builders").mkdir()
    with pytest.raises(Fatal, match="the credentials volume is mounted at"):
        script.find_hub(root, "https://koji/kojihub", 0)


def mock_that(tmp_path: Path, command: str) -> str:
    """A program that replaces mock."""
    program = tmp_path / "mock"
    program.write_text(f"#!/bin/sh\n{command}\n")
    program.chmod(0o755)
    return str(program)


@pytest.fixture
def link(tmp_path: Path) -> Path:
    """The link to another driver, left from an earlier start."""
    link = tmp_path / "etc/mock/driver"
    link.parent.mkdir(parents=True)
    link.symlink_to("/opt/earlier")
    return link


def test_mock_is_ours_where_it_can_work(
    script: ModuleType, tmp_path: Path, link: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script, "MOCK", mock_that(tmp_path, 'test "$*" = --check-host'))
    script.choose_mock(tmp_path, "")
    assert not link.is_symlink()


def test_mock_that_cannot_work_is_refused(
    script: ModuleType, tmp_path: Path, link: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script, "MOCK", mock_that(tmp_path, "echo not allowed >&2; exit 1"))
    with pytest.raises(Fatal, match="this container cannot build RPMs: not allowed") as no:
        script.choose_mock(tmp_path, "")
    assert "KOJI_BUILDER_MOCK=none" in str(no.value.hint)


def test_mock_is_the_sites_own_or_none(
    script: ModuleType, tmp_path: Path, link: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Whether ours would work does not matter.
    monkeypatch.setattr(script, "MOCK", mock_that(tmp_path, "exit 1"))
    script.choose_mock(tmp_path, "/opt/mock")
    assert str(link.readlink()) == "/opt/mock"
    script.choose_mock(tmp_path, "none")
    assert not link.is_symlink()
    settings = script.Settings.read({"KOJI_BUILDER_MOCK": "none"}, "kojibuilder")
    assert script.builder(settings)["new"]["channels"] == ["createrepo"]


def test_plugins_are_those_that_are_named(script: ModuleType) -> None:
    always = "current_repo keep_alive kill_checkouts_first log_changes mock_ends_builds mock_logs "
    always += "poll_rate remove_aside retry_downloads send_only_xml"
    assert options(script)["plugins"] == f"{always} fast_poll ignore_load"
    assert options(script, KOJI_BUILDER_PLUGINS="one, two")["plugins"] == f"{always} one two"


def test_every_program_here_trusts_the_authority(script: ModuleType, root: Path) -> None:
    folder = root / "etc/pki/koji"
    authority = folder / "koji_ca_cert.crt"
    for _ in range(2):
        script.trust(root, authority)
    bundle = root / "etc/ssl/certs/ca-certificates.crt"
    assert bundle.read_text().count("BEGIN CERTIFICATE") == 2
    assert len(ssl.create_default_context(cafile=str(bundle)).get_ca_certs()) == 2
    # In a folder, OpenSSL finds an authority by the hash of its subject.
    Authority.load(folder).issue("b1", client=True)
    command = ["openssl", "verify", "-no-CAfile", "-CApath", str(bundle.parent)]
    subprocess.run([*command, str(folder / "certs/b1.crt")], check=True, capture_output=True)


def test_a_former_authority_is_trusted_no_more(
    script: ModuleType, root: Path, tmp_path: Path
) -> None:
    """As in a container whose image was committed from another instance's builder."""
    folders = [tmp_path / "former", root / "etc/pki/koji"]
    folders[0].mkdir()
    Authority.create(folders[0])
    for folder in folders:
        script.trust(root, folder / "koji_ca_cert.crt")
    former, current = ((folder / "koji_ca_cert.crt").read_text() for folder in folders)
    trusted = root / "etc/ssl/certs"
    bundle = (trusted / "ca-certificates.crt").read_text()
    # The image's own authorities stay.
    assert bundle == (tmp_path / "other/koji_ca_cert.crt").read_text() + current
    assert former not in [path.read_text() for path in trusted.iterdir()]
    assert (root / "usr/local/share/ca-certificates/koji.crt").read_text() == current


@pytest.fixture
def bundle(root: Path) -> Bundle:
    """What the hub of the root's credentials gave the builder `far`."""
    folder = root / "etc/pki/koji"
    key = make_key()
    certificate = Authority.load(folder).sign("far", key.public_key(), client=True)
    authority = (folder / "koji_ca_cert.crt").read_text()
    hub = "https://koji.example.com:8443/kojihub"
    return Bundle("far", hub, key_pem(key).decode(), pem(certificate).decode(), authority)


@pytest.fixture
def elsewhere(
    script: ModuleType, bundle: Bundle, root: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Any]:
    """The settings of a builder with that bundle, and with more variables."""
    (root / "bundle").write_text(bundle.text())
    monkeypatch.setattr("util.bundle.DEFAULT", root / "default")
    values = {"KOJI_BUILDER_BUNDLE": str(root / "bundle")}
    return lambda **more: script.Settings.read({**values, **more}, "9fca3")


def test_a_bundle_names_the_builder_and_the_hub(
    script: ModuleType, elsewhere: Callable[..., Any]
) -> None:
    settings = elsewhere()
    assert (settings.name, settings.hub) == ("far", "https://koji.example.com:8443/kojihub")
    assert settings.files == "https://koji.example.com:8443/kojifiles"
    assert script.builder(settings)["registrar"] == "https://koji.example.com:8443/builders"
    settings = elsewhere(KOJI_HUB_URL="https://hub.example.com/kojihub")
    assert settings.files == "https://hub.example.com/kojifiles"
    assert script.builder(settings)["registrar"] == "https://hub.example.com/builders"
    with pytest.raises(Fatal, match="KOJI_BUILDER_NAME: 'near' is not 'far', the bundle's"):
        elsewhere(KOJI_BUILDER_NAME="near")


def test_a_bundle_that_builds_could_see(elsewhere: Callable[..., Any], tmp_path: Path) -> None:
    for path in ("/srv/bundle", f"{tmp_path}/../bundle"):
        with pytest.raises(Fatal, match=r"builds can read .*; put it where the default is"):
            elsewhere(KOJI_BUILDER_BUNDLE=path)


def test_kojid_ends_by_itself_only_elsewhere(
    script: ModuleType, elsewhere: Callable[..., Any]
) -> None:
    plugins = script.kojid_options(elsewhere())["kojid"]["plugins"].split()
    assert "end_when_refused" in plugins
    assert "end_when_refused" not in options(script)["plugins"].split()


def test_without_a_bundle_the_registrar_is_asked_in_the_shared_folder(script: ModuleType) -> None:
    assert script.builder(script.Settings.read({}, "kojibuilder"))["registrar"] is None


def test_a_bundle_s_key_is_stored_once(script: ModuleType, bundle: Bundle, root: Path) -> None:
    (root / "etc/pki/koji/private/koji_ca_cert.key").unlink()
    script.install(root, bundle)
    folder = root / "etc/pki/koji"
    assert (folder / "far.pem").read_text() == bundle.key + bundle.certificate
    for name in ("far.pem", "private/far.key"):
        assert (folder / name).stat().st_mode & 0o777 == 0o600
    # It has not joined yet; then it has, and its certificate was renewed.
    assert not (folder / "certs/far.crt").exists()
    for name in ("far.pem", "certs/far.crt"):
        (folder / name).write_text("renewed")
    script.install(root, bundle)
    assert (folder / "far.pem").read_text() == (folder / "certs/far.crt").read_text() == "renewed"
    # Another bundle for the same builder.
    script.install(root, replace(bundle, key=key_pem(make_key()).decode()))
    assert (folder / "far.pem").read_text() != "renewed"
    assert not (folder / "certs/far.crt").exists()


def test_channels_whose_tasks_need_the_top_directory(script: ModuleType, tmp_path: Path) -> None:
    assert script.unserved(tmp_path) == ["createrepo"]
    (tmp_path / "mnt/koji/repos").mkdir(parents=True)
    assert script.unserved(tmp_path) == []


def test_a_builder_is_only_in_channels_that_it_can_serve(script: ModuleType) -> None:
    def make(unserved: list[str], **values: str) -> Any:
        return script.builder(script.Settings.read(values, "far"), unserved)

    assert make(["createrepo"])["new"]["channels"] == ["default"]
    assert make(["createrepo"])["unserved"] == ["createrepo"]
    assert make(["createrepo"])["channels"] is None
    chosen = make(["createrepo"], KOJI_BUILDER_CHANNELS="createrepo maven")
    assert chosen["channels"] == ["maven"]
    for values in ({"KOJI_BUILDER_CHANNELS": "createrepo"}, {"KOJI_BUILDER_MOCK": "none"}):
        assert make([], **values)
        with pytest.raises(Fatal, match="none of its channels, createrepo: their tasks read the"):
            make(["createrepo"], **values)


def test_a_bundle_s_authority_is_trusted_until_the_hub_names_others(
    script: ModuleType, bundle: Bundle, root: Path
) -> None:
    folder = root / "etc/pki/koji"
    (folder / "private/koji_ca_cert.key").unlink()
    (folder / "koji_ca_cert.crt").unlink()
    with pytest.raises(Fatal, match="gave up waiting for the hub at") as refusal:
        script.find_hub(root, "https://127.0.0.1:1/kojihub", 0, bundle)
    assert "--add-host" in str(refusal.value.hint)
    assert (folder / "koji_ca_cert.crt").read_text() == bundle.authority
    script.install(root, bundle)
    authorities = bundle.authority + bundle.authority
    (folder / "koji_ca_cert.crt").write_text(authorities)
    with pytest.raises(Fatal, match="gave up waiting for the hub at"):
        script.find_hub(root, "https://127.0.0.1:1/kojihub", 0, bundle)
    assert (folder / "koji_ca_cert.crt").read_text() == authorities


def test_no_buildroot_is_of_the_future(script: ModuleType, tmp_path: Path) -> None:
    dates = {"demo-1": 5e9, "demo-2": 1e9}
    for name, date in dates.items():
        buildroot = tmp_path / "var/lib/mock" / name / "root"
        buildroot.mkdir(parents=True)
        os.utime(buildroot, (date, date))
    script.date_buildroots(tmp_path)
    assert (tmp_path / "var/lib/mock/demo-1/root").stat().st_mtime <= time.time()
    assert (tmp_path / "var/lib/mock/demo-2/root").stat().st_mtime == dates["demo-2"]
