"""docs/examples/plugins with the Koji under test: runroot, save-failed-tree and sidetags."""

import shutil
from pathlib import Path

import koji

from nagoya.config.declaration import Declaration
from tests.system.test_examples import example


def test_plugins(checkout: Path, declaration: Declaration, tmp_path: Path) -> None:
    folder = shutil.copytree(checkout / "docs/examples/plugins", tmp_path / "docs/plugins")
    config = folder / "moromi.yml"
    config.write_text(
        config.read_text().replace("extends: nagoya\n", f"extends: {declaration.path}\n")
    )
    with example(folder, tmp_path) as (person, run):
        assert "Free Software Foundation" in run.stdout
        session = person.session()
        (sidetag,) = (tag for tag in session.listTags() if "-side-" in tag["name"])
        assert session.getRepo(sidetag["name"])
        (save,) = session.listTasks({"method": "saveFailedTree"}, {"limit": 2})
        assert save["state"] == koji.TASK_STATES["CLOSED"]
        (archive,) = session.listTaskOutput(save["id"])
        assert archive.endswith(".tar.gz")
