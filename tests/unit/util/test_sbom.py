"""The list of what an image consists of."""

from importlib.metadata import Distribution
from pathlib import Path

from util import sbom


def test_lists_installed_packages_alone() -> None:
    listing = "ii \tlibc6\t2.41-12+deb13u1\tamd64\nrc \tgone\t1\tall\n"
    assert sbom.debian(listing) == [
        {
            "type": "library",
            "name": "libc6",
            "version": "2.41-12+deb13u1",
            "purl": "pkg:deb/debian/libc6@2.41-12%2Bdeb13u1?arch=amd64",
        }
    ]


def test_lists_python_packages_once(tmp_path: Path) -> None:
    folder = tmp_path / "Some_Name-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: Some_Name\nVersion: 1.0\n")
    components = sbom.python([Distribution.at(folder), Distribution.at(folder)])
    assert [component["purl"] for component in components] == ["pkg:pypi/some-name@1.0"]
