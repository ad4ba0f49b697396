"""Why a task has no host."""

import pytest

from nagoya.koji.activity import obstacle


@pytest.mark.parametrize(
    ("arch", "arches", "expected"),
    [
        ("x86_64", ["x86_64 i386"], None),
        ("i386", ["aarch64", "x86_64 i386"], None),
        ("noarch", ["aarch64"], None),
        ("noarch", [], "no enabled builder has the channel default"),
        # x86_64 is a part of its name only.
        (
            "x86_64",
            ["x86_64_v2"],
            "no enabled builder of the channel default has the arch x86_64",
        ),
    ],
)
def test_a_task_that_no_builder_can_take(
    arch: str, arches: list[str], expected: str | None
) -> None:
    assert obstacle(arch, "default", [{"arches": each} for each in arches]) == expected
