"""What belongs to a backup, and into what it can be restored."""

from nagoya.system.backup import BACKUP_LABEL, PRIVATE_LABEL, select_parts
from nagoya.system.restore import newer_versions

LABELS = {
    "keys": {BACKUP_LABEL: "/keys", PRIVATE_LABEL: '["/keys"]'},
    "files": {BACKUP_LABEL: "/files"},
    "hub": {BACKUP_LABEL: "/"},
    "worker": {},
}
PREPARED = {"/files": ("hub", "/files/.kept"), "/": ("hub", "/site")}


def test_each_part_is_taken_from_where_it_was_prepared() -> None:
    assert select_parts(LABELS, PREPARED, credentials=True) == {
        "files": ("hub", "/files/.kept"),
        "hub": ("hub", "/site"),
        "keys": ("keys", "/keys"),
    }


def test_credentials_can_be_left_out() -> None:
    assert list(select_parts(LABELS, PREPARED, credentials=False)) == ["files", "hub"]


def test_images_restore_what_is_not_newer() -> None:
    image = {"schema": "1.30", "postgresql": "15"}
    assert newer_versions(image, image) == []
    assert newer_versions({"schema": "1.9"}, image) == []
    assert newer_versions({"schema": "1.35", "postgresql": "17"}, image) == [
        "schema 1.35, and the image has 1.30",
        "postgresql 17, and the image has 15",
    ]
    assert newer_versions({"other": "1"}, image) == ["other 1, and the image has none"]
