"""Order: waves, what a part stands on, and the circle that has no order."""

import pytest

from nagoya.utils.graph import Cycle, reverse, waves, with_dependencies

NEEDS = {"base": ["foreign"], "hub": ["base"], "data": ["base"], "builder": ["hub", "data"]}


def test_waves_keep_the_declared_order() -> None:
    assert waves(NEEDS) == [["base"], ["hub", "data"], ["builder"]]


def test_nothing_needs_no_wave() -> None:
    assert waves({}) == []


def test_a_circle_is_named_along_the_needs() -> None:
    with pytest.raises(Cycle) as caught:
        waves({"a": ["b"], "b": ["c"], "c": ["a"], "d": []})
    assert str(caught.value) in ("a => b => c => a", "b => c => a => b", "c => a => b => c")


def test_a_part_with_all_it_stands_on() -> None:
    assert list(with_dependencies(["data"], NEEDS)) == ["base", "data"]
    assert list(with_dependencies(["builder"], NEEDS)) == list(NEEDS)
    assert with_dependencies(["foreign"], NEEDS) == {}


def test_taking_down_goes_the_other_way() -> None:
    assert waves(reverse(NEEDS)) == [["builder"], ["data", "hub"], ["base"]]
