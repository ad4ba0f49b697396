"""Waiting for a repository, on hubs that are made up."""

from types import SimpleNamespace
from typing import Any

import pytest

from nagoya.errors import NotReady
from nagoya.koji.builds import wait_for_repo


class Hub:
    """A hub that makes the repository of the tag `demo` by itself, or when it is asked for it."""

    def __init__(self, methods: list[str], *, busy: bool = False) -> None:
        self.repository = None if methods else {"id": 1, "create_event": 7}
        self.busy = busy
        self.system = SimpleNamespace(listMethods=lambda: methods)
        self.repo = SimpleNamespace(request=self.request)

    def session(self) -> Any:
        return self

    def request(self, tag: str, *, min_event: str) -> None:
        assert (tag, min_event) == ("demo", "last")
        if not self.busy:
            self.repository = {"id": 2, "create_event": 9}

    def getRepo(self, tag: str) -> dict[str, int] | None:
        return self.repository

    def listTagged(self, tag: str, **options: Any) -> list[dict[str, str]]:
        return [{"nvr": "hello-1-1"}]


@pytest.mark.parametrize(("methods", "repository"), [([], 1), (["repo.request"], 2)])
def test_a_repository_is_requested_where_it_can_be(methods: list[str], repository: int) -> None:
    assert wait_for_repo(Hub(methods), "demo", seconds=0)["id"] == repository  # type: ignore[arg-type]


def test_a_repository_that_does_not_come() -> None:
    with pytest.raises(NotReady, match="no repository of demo contained hello-1-1"):
        wait_for_repo(Hub(["repo.request"], busy=True), "demo", ["hello-1-1"], seconds=0)  # type: ignore[arg-type]
