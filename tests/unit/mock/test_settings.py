"""A configuration as koji.genMockConfig writes it, read and validated."""

import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

Driver = Callable[[str], ModuleType]

KOJI = """
# Koji buildroot id: 7
config_opts['basedir'] = '/var/lib/mock'
config_opts['chroot_setup_cmd'] = 'groupinstall srpm-build'
config_opts['chroothome'] = '/builddir'
config_opts['dnf_warning'] = False
config_opts['root'] = 'demo-build-7-3'
config_opts['rpmbuild_networking'] = True
config_opts['rpmbuild_timeout'] = 86400
config_opts['target_arch'] = 'x86_64'
config_opts['use_bootstrap'] = True
config_opts['use_host_resolv'] = True
config_opts['yum.conf'] = '[main]\\n[build]\\nname=build\\nbaseurl=https://koji/x\\n'
config_opts['plugin_conf']['ccache_enable'] = False
config_opts['plugin_conf']['sign_enable'] = True
config_opts['plugin_conf']['sign_opts'] = {}
config_opts['plugin_conf']['sign_opts']['cmd'] = 'rpmsign'
config_opts['plugin_conf']['sign_opts']['opts'] = '--addsign %(rpms)s'
config_opts['plugin_conf']['bind_mount_opts']['dirs'].append(('/scm', '/credentials'))
config_opts['macros']['%_topdir'] = '/builddir/build'
config_opts['macros']['%number'] = 5
config_opts['environment']['LUCKY'] = 'yes'
config_opts['files']['etc/hosts'] = '127.0.0.1 localhost'
config_opts['module_setup_commands'] = [('enable', 'perl:5.26, ruby')]
"""


@pytest.fixture
def options(driver: Driver) -> dict[str, Any]:
    """The defaults after the configuration above."""
    config: dict[str, Any] = driver("settings").defaults()
    exec(KOJI, {"config_opts": config})
    return config


def test_takes_over_what_koji_says(driver: Driver, options: dict[str, Any]) -> None:
    settings = driver("settings").settings(options)
    assert settings.root == "demo-build-7-3"
    assert settings.setup == ("groupinstall", "srpm-build")
    assert (settings.networking, settings.host_resolver, settings.own_dev) == (True, True, True)
    assert settings.timeout == 86400
    assert settings.binds == (("/scm", "/credentials"),)
    assert settings.macros["%number"] == "5"
    assert settings.macros["%_rpmfilename"].startswith("%%{NAME}")
    assert settings.macros["%_buildhost"] == os.uname().nodename
    assert settings.environment["LUCKY"] == "yes"
    assert settings.environment["HOME"] == "/builddir"
    assert settings.sign == "rpmsign --addsign %(rpms)s"
    assert settings.modules == (("enable", "perl:5.26, ruby"),)
    assert (settings.bootstrap, settings.unsupported) == (True, ())


@pytest.mark.parametrize(
    ("change", "unsupported"),
    [
        ({}, ()),
        ({"package_manager": "dnf4"}, ()),
        ({"package_manager": "dnf5"}, ("mock.package_manager=dnf5",)),
        ({"package_manager": "yum"}, ("mock.package_manager=yum",)),
        (
            {"use_bootstrap": True, "use_bootstrap_image": True, "bootstrap_image": "fedora:42"},
            ("mock.bootstrap_image",),
        ),
        ({"use_bootstrap": True, "use_bootstrap_image": False}, ()),
        (
            {"plugin_conf": {"tmpfs_enable": True, "ccache_enable": False, "tmpfs_opts": {"k": 1},
                             "bind_mount_opts": {"dirs": []}}},
            ("mock.plugin_conf.tmpfs_enable",),
        ),
    ],
)  # fmt: skip
def test_says_what_needs_another_mock(
    driver: Driver,
    options: dict[str, Any],
    change: dict[str, Any],
    unsupported: tuple[str, ...],
) -> None:
    settings = driver("settings").settings(options | {"use_bootstrap": False} | change)
    assert settings.unsupported == unsupported


def test_a_bootstrap_chroot_has_dnf_and_nothing_of_the_tag(
    driver: Driver, options: dict[str, Any]
) -> None:
    settings = driver("settings").settings(options)
    its = settings.of_bootstrap
    assert its.root == "demo-build-7-3-bootstrap"
    assert its.setup == ("install", "python3-dnf", "python3-dnf-plugins-core")
    assert (its.modules, its.files, its.bootstrap) == ((), {}, False)
    assert its.dnf_conf == settings.dnf_conf


def test_what_needs_another_mock_is_refused(driver: Driver, options: dict[str, Any]) -> None:
    errors = driver("errors")
    refuse = driver("settings").refuse_unsupported
    with pytest.raises(errors.MockError, match=r"does not support mock\.package_m") as refusal:
        refuse(driver("settings").settings(options | {"package_manager": "dnf5"}))
    assert refusal.value.status == errors.Status.CONFIGURATION
    assert "declare the source `mock`" in refusal.value.hint
    refuse(driver("settings").settings(options))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"root": "../../etc"}, "root: '../../etc' is not a directory name"),
        ({"root": ".."}, "root: '..' is not a dir"),
        ({"root": ""}, "root: '' is not a dir"),
        ({"basedir": "var/lib/mock"}, "basedir: 'var/lib/mock' is not an absolute path"),
        ({"basedir": "/var/../etc"}, "basedir: '/var/../etc' is not an absolute path"),
        ({"chroothome": "/"}, "chroothome: '/' is not an absolute path"),
        ({"basedir": "/tmp/mock"}, "basedir: must not be in /tmp"),
        ({"rpmbuild_timeout": "soon"}, "rpmbuild_timeout: 'soon' is not a number of seconds"),
        ({"rpmbuild_timeout": -1}, "rpmbuild_timeout: -1 is not a number of seconds"),
        ({"yum.conf": ""}, "yum.conf: missing"),
    ],
)
def test_refuses_what_root_must_not_follow(
    driver: Driver, options: dict[str, Any], change: dict[str, Any], message: str
) -> None:
    errors = driver("errors")
    with pytest.raises(errors.MockError, match=message) as failure:
        driver("settings").settings(options | change)
    assert failure.value.status == errors.Status.CONFIGURATION


def test_every_error_is_said_at_once(driver: Driver, options: dict[str, Any]) -> None:
    with pytest.raises(driver("errors").MockError, match=r"root: .*; basedir: .*; yum.conf: "):
        driver("settings").settings(options | {"root": "", "basedir": "", "yum.conf": ""})


@pytest.mark.parametrize("name", ["", "/etc/x", "../x", "koji/../../x", "koji//x", ".", "koji/."])
def test_a_name_stays_beneath_the_configurations(driver: Driver, tmp_path: Path, name: str) -> None:
    account = driver("settings").Account(os.getuid(), os.getgid())
    with pytest.raises(driver("errors").MockError, match="is not the name of a file beneath"):
        driver("settings").read(name, account, tmp_path)


def test_only_a_file_of_roots_counts(
    driver: Driver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.cfg"
    path.write_text("config_opts['root'] = 'x'")
    original = os.fstat

    def owned(uid: int, mode: int) -> None:
        def fstat(descriptor: int) -> os.stat_result:
            fields = list(original(descriptor))
            fields[0], fields[4] = mode, uid
            return os.stat_result(fields)

        monkeypatch.setattr(os, "fstat", fstat)

    for uid, mode in ((1000, 0o100644), (0, 0o100664), (0, 0o100646)):
        owned(uid, mode)
        with pytest.raises(PermissionError, match="it must belong to root"):
            driver("settings").evaluate(path)
    owned(0, 0o100644)
    assert driver("settings").evaluate(path)["root"] == "x"
    link = tmp_path / "link.cfg"
    link.symlink_to(path)
    with pytest.raises(OSError, match="symbolic links"):
        driver("settings").evaluate(link)


@pytest.mark.parametrize(
    ("architecture", "machine", "narrow"),
    [
        ("x86_64", "x86_64", False),
        ("x86_64_v2", "x86_64", False),
        ("noarch", "s390x", False),
        ("i686", "x86_64", True),
        ("armv7hl", "aarch64", True),
    ],
)
def test_a_narrow_architecture_wants_its_personality(
    driver: Driver, architecture: str, machine: str, narrow: bool
) -> None:
    assert driver("settings").personality(architecture, machine) is narrow


@pytest.mark.parametrize(("architecture", "machine"), [("aarch64", "x86_64"), ("x86_64", "i686")])
def test_a_foreign_architecture_is_refused(driver: Driver, architecture: str, machine: str) -> None:
    with pytest.raises(
        driver("errors").MockError, match=r"emulation .* is not supported"
    ) as failure:
        driver("settings").personality(architecture, machine)
    assert failure.value.status == 6
