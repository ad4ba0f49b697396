"""The sources that `toji verify` builds, on their way to the hub."""

from typing import Any, cast

import pytest

from nagoya.engine import Handle
from nagoya.errors import LifecycleError
from nagoya.koji import verify


def test_a_hub_that_cannot_take_the_sources_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def execute(handle: Any, command: list[str], seconds: float) -> tuple[int, str]:
        return 1, "mkdir: cannot create directory: No space left on device\n"

    monkeypatch.setattr(verify, "execute", execute)
    container = cast(Handle, None)
    with pytest.raises(LifecycleError, match=r"the hub cannot make .*: No space left on device$"):
        verify._serve(container, container, "/demo")
