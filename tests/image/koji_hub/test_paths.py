"""koji-hub's folders of builds and tasks, which nothing leads out of."""

import koji
import pytest

from tests.image.running import Hub


def test_a_build_stays_in_its_folder(hub: Hub) -> None:
    """Koji would remove all of /mnt/koji when this build is made again after it has failed."""
    session = hub.login()
    for version, release in (("..", ".."), ("1", "../../hello/1/1"), ("1", "")):
        with pytest.raises(koji.GenericError, match="of a build is part of a path"):
            session.createEmptyBuild("climber", version, release, 0)
    assert session.listBuilds(pattern="climber-*") == []


@pytest.mark.parametrize(
    ("folder", "name"), [("etc", "passwd"), ("dev/shm/koji-hub", "kojiweb.pem")]
)
def test_a_tasks_output_is_below_its_folder(hub: Hub, folder: str, name: str) -> None:
    """Koji would answer with any file that it can read."""
    session = hub.session()
    number = f"%.0s../../../../../../{folder}"
    for call, arguments in (("downloadTaskOutput", [number, name]), ("listTaskOutput", [number])):
        with pytest.raises(koji.GenericError, match="is not the number of a task"):
            session.callMethod(call, *arguments)
