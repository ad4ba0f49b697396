"""Order: waves, what a part stands on, and the circle that has no order."""

import pytest

from nagoya.utils.graph import Cycle, in_order, reversed_needs, with_needed

NEEDS = {"base": ["foreign"], "hub": ["base"], "data": ["base"], "builder": ["hub", "data"]}


def test_waves_keep_the_declared_order() -> None:
    assert in_order(NEEDS) == [["base"], ["hub", "data"], ["builder"]]


def test_nothing_needs_no_wave() -> None:
    assert in_order({}) == []


def test_a_circle_is_named_along_the_needs() -> None:
    with pytest.raises(Cycle) as caught:
        in_order({"a": ["b"], "b": ["c"], "c": ["a"], "d": []})
    assert str(caught.value) in ("a => b => c => a", "b => c => a => b", "c => a => b => c")


def test_a_part_with_all_it_stands_on() -> None:
    assert list(with_needed(["data"], NEEDS)) == ["base", "data"]
    assert list(with_needed(["builder"], NEEDS)) == list(NEEDS)
    assert with_needed(["foreign"], NEEDS) == {}


def test_taking_down_goes_the_other_way() -> None:
    assert in_order(reversed_needs(NEEDS)) == [["builder"], ["data", "hub"], ["base"]]
