"""util.configuration: what an image settles, and on it what a site adds."""

import configparser
from pathlib import Path

import pytest

from util.configuration import merged
from util.entry import Fatal

OURS = {"hub": {"KojiDir": "/mnt/koji", "LogLevel": "WARNING"}}


def read(text: str) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser()
    parser.read_string(text)
    return parser


def test_without_a_folder_it_is_ours(tmp_path: Path) -> None:
    parser = read(merged(OURS, tmp_path / "missing"))
    assert dict(parser["hub"]) == {"kojidir": "/mnt/koji", "loglevel": "WARNING"}


def test_the_site_wins_and_the_last_of_its_files_most(tmp_path: Path) -> None:
    (tmp_path / "20-b.conf").write_text("[hub]\nLOGLEVEL = DEBUG\n")
    (tmp_path / "10-a.conf").write_text("[hub]\nloglevel = INFO\nemaildomain = example.com\n")
    (tmp_path / "30-c.conf.off").write_text("[hub]\nloglevel = ERROR\n")
    parser = read(merged(OURS, tmp_path))
    assert parser["hub"]["loglevel"] == "DEBUG"
    assert parser["hub"]["emaildomain"] == "example.com"
    assert parser["hub"]["kojidir"] == "/mnt/koji"


def test_policies_of_several_lines_and_percent_signs_are_passed_on(tmp_path: Path) -> None:
    policy = "\n    has_perm admin :: allow\n    all :: deny no %(such) thing\n"
    (tmp_path / "policy.conf").write_text(f"[policy]\npackage_list ={policy}")
    lines = read(merged(OURS, tmp_path))["policy"]["package_list"].splitlines()
    assert [line.strip() for line in lines if line] == [
        "has_perm admin :: allow",
        "all :: deny no %(such) thing",
    ]


def test_every_broken_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.conf").write_text("no section\n")
    (tmp_path / "b.conf").write_text("[hub]\nfine = yes\n")
    (tmp_path / "c.conf").write_bytes(b"[hub]\nname = \xff\n")
    with pytest.raises(Fatal) as refusal:
        merged(OURS, tmp_path)
    assert "a.conf" in str(refusal.value)
    assert "b.conf" not in str(refusal.value)
    assert "c.conf" in str(refusal.value)
