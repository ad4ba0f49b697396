"""Which of upstream's scripts a database lacks."""

from pathlib import Path
from typing import Any

import pytest

from util import schema
from util.entry import Fatal


@pytest.fixture
def scripts(tmp_path: Path) -> Any:
    for name, text in (
        ("schema.sql", ""),
        ("schema-update-cgen.sql", ""),
        ("schema-upgrade-1.9-1.10.sql", "CREATE TABLE first (id INTEGER);"),
        ("schema-upgrade-1.10-1.11.sql", "begin; create unique index if not exists second ON x;"),
        ("schema-upgrade-1.11-1.12.sql", "ALTER TABLE users ADD COLUMN third TEXT;"),
        ("schema-upgrade-1.12-1.13.sql", "INSERT INTO users DEFAULT VALUES;"),
        ("schema-upgrade-1.13-1.14.sql", "INSERT INTO types (name, text) VALUES ('fourth', 'x');"),
    ):
        (tmp_path / name).write_text(text)
    return schema.upgrades(tmp_path)


class Database:
    """Answers for a database with some tables, indexes and columns."""

    def __init__(self, *names: str, comment: str | None = None) -> None:
        self.names, self.comment = names, comment
        self.answer: object = None

    def execute(self, query: str, values: list[str] | None = None) -> None:
        self.answer = values[-1] in self.names if values else self.comment

    def fetchone(self) -> tuple[object]:
        return (self.answer,)


def test_scripts_are_in_the_order_of_versions(scripts: Any) -> None:
    assert list(scripts) == [(1, 10), (1, 11), (1, 12), (1, 13), (1, 14)]


@pytest.mark.parametrize(
    ("database", "version"),
    [
        (Database("first", comment="schema of Koji 1.13"), (1, 13)),
        (Database("first", comment="standard public schema"), (1, 10)),
        (Database("first", "second"), (1, 11)),
        (Database("first", "second", "third"), (1, 12)),
        (Database("first", "second", "third", "fourth"), (1, 14)),
        (Database(), (0, 0)),
    ],
)
def test_the_version_is_recorded_or_seen(
    scripts: Any, database: Database, version: tuple[int, int]
) -> None:
    assert schema.version_of(database, scripts) == version


def test_only_later_scripts_are_run(scripts: Any) -> None:
    assert list(schema.pending(scripts, (1, 11))) == [(1, 12), (1, 13), (1, 14)]
    assert schema.pending(scripts, (1, 14)) == {}


def test_a_newer_database_is_refused(scripts: Any) -> None:
    with pytest.raises(Fatal, match=r"schema of Koji 1\.15, and this image that of Koji 1\.14"):
        schema.pending(scripts, (1, 15))
