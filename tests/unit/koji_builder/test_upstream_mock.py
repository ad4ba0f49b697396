"""How upstream's mock gets into koji-builder: from source trees that may be empty."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

TREE = {
    "mock/mock/mock.spec": "Name: mock\nVersion: 6.7\n",
    "mock/mock/py/mock.py": "#!/usr/bin/python3 -tt\n",
    "mock/mock/py/mockbuild/constants.py": """
VERSION = "unreleased_version"
SYSCONFDIR = "x"
PYTHONDIR = "x"
PKGPYTHONDIR = "x"
MOCKCONFDIR = SYSCONFDIR + "/mock"
""",
    "mock/mock/py/mockbuild/plugins/__init__.py": "",
    "mock/mock/etc/mock/logging.ini": "",
    "templated-dictionary/templated_dictionary/__init__.py": "",
}


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """The folder of the sources, with trees of both."""
    for name, text in TREE.items():
        path = tmp_path / "src" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "src"


def install(checkout: Path, sources: Path) -> subprocess.CompletedProcess[str]:
    """Install into the folder `root` beside the sources."""
    script = checkout / "koji-builder/upstream-mock/install.sh"
    command = ["bash", script, sources, sources.parent / "root"]
    return subprocess.run(command, check=False, capture_output=True, text=True)


def test_it_is_installed_as_its_package_would(checkout: Path, sources: Path) -> None:
    assert install(checkout, sources).stderr == ""
    root = sources.parent / "root"
    assert (root / "usr/libexec/mock/mock").stat().st_mode & 0o777 == 0o755
    constants: dict[str, str] = {}
    modules = root / "usr/lib/python3/dist-packages"
    exec((modules / "mockbuild/constants.py").read_text(), constants)
    assert constants["VERSION"] == "6.7"
    assert constants["MOCKCONFDIR"] == "/etc/mock"
    assert constants["PKGPYTHONDIR"] == "/usr/lib/python3/dist-packages/mockbuild"
    assert {path.name for path in (root / "etc").rglob("*") if path.is_file()} == {
        "logging.ini", "macros.mock", "site-defaults.cfg",
    }  # fmt: skip
    assert list((modules / "templated_dictionary").rglob("*.pyc"))
    for plugin in ("install_groups", "rpm_database"):
        assert (modules / f"mockbuild/plugins/{plugin}.py").is_file()


def test_nothing_is_installed_where_it_is_not_declared(checkout: Path, tmp_path: Path) -> None:
    for name in ("mock", "templated-dictionary"):
        (tmp_path / "src" / name).mkdir(parents=True)
    assert install(checkout, tmp_path / "src").returncode == 0
    assert list((tmp_path / "root").iterdir()) == []


@pytest.mark.parametrize("name", ["mock", "templated-dictionary"])
def test_another_tree_is_refused(checkout: Path, sources: Path, name: str) -> None:
    for path in (sources / name).rglob("*.py"):
        path.unlink()
    refused = install(checkout, sources)
    assert refused.returncode == 1
    assert f"src/{name} is no source tree of {name}: it has no" in refused.stderr


def test_its_configuration_trusts_the_hub(checkout: Path) -> None:
    options: dict[str, Any] = {"plugin_conf": {}, "dnf_common_opts": []}
    text = (checkout / "koji-builder/upstream-mock/site-defaults.cfg").read_text()
    exec(text, {"config_opts": options})
    authorities = options["ssl_extra_certs"][::2]
    assert set(authorities) == {"/usr/local/share/ca-certificates/koji.crt"}
    assert len(options["ssl_extra_certs"]) == 2 * len(authorities)


@pytest.mark.parametrize(
    ("command", "installed"),
    [
        ("groupinstall build", "install @build"),
        (["groupinstall", "build"], "install @build"),
        ("install @build", "install @build"),
        ("", ""),
    ],
)
def test_groups_are_installed_as_dnf5_does(
    load_script: Callable[[str], ModuleType], command: str | list[str], installed: str
) -> None:
    buildroot = SimpleNamespace(config={"chroot_setup_cmd": command})
    load_script("koji-builder/upstream-mock/install_groups.py").init(None, None, buildroot)
    assert buildroot.config["chroot_setup_cmd"] == installed
