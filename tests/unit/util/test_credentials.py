"""util.credentials: credentials that are there, and complete."""

from pathlib import Path

import pytest

from util import credentials, files
from util.entry import Fatal


def test_credentials_without_their_marker_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / credentials.FOLDER
    (folder / "private").mkdir(parents=True)
    with pytest.raises(Fatal, match="there are no credentials at") as refusal:
        credentials.require(tmp_path, "rw")
    assert refusal.value.hint
    assert "`--volumes-from kojicreds:rw`" in refusal.value.hint
    files.mark_done(folder)
    assert credentials.require(tmp_path) == folder
