"""Dependency graphs of names: order, closure, reversal."""

from collections.abc import Collection, Iterable, Mapping
from graphlib import CycleError, TopologicalSorter

Graph = Mapping[str, Collection[str]]
"""What each name depends on; a dependency that is no key itself is taken as satisfied."""


class Cycle(ValueError):
    """Names depend on each other in a circle; reads as `a => b => a`."""

    def __init__(self, names: Iterable[str]) -> None:
        super().__init__(" => ".join(names))


def sorter(graph: Graph) -> "TopologicalSorter[str]":
    """A prepared sorter of the names of a graph. Raises Cycle."""
    order = TopologicalSorter(
        {name: [other for other in others if other in graph] for name, others in graph.items()}
    )
    try:
        order.prepare()
    except CycleError as error:
        # graphlib names the circle against the direction of dependency.
        raise Cycle(reversed(error.args[1])) from None
    return order


def waves(graph: Graph) -> list[list[str]]:
    """Names in waves: each wave depends only on earlier ones, so its names may run in parallel.

    Order within a wave is that of `graph`. Raises Cycle.
    """
    place = {name: index for index, name in enumerate(graph)}
    order, result = sorter(graph), []
    while ready := sorted(order.get_ready(), key=place.__getitem__):
        result.append(ready)
        order.done(*ready)
    return result


def with_dependencies(names: Iterable[str], graph: Graph) -> dict[str, Collection[str]]:
    """The part of a graph that `names` depend on, themselves included, in the graph's order."""
    wanted: set[str] = set()
    pending = list(names)
    while pending:
        name = pending.pop()
        if name in graph and name not in wanted:
            wanted.add(name)
            pending.extend(graph[name])
    return {name: others for name, others in graph.items() if name in wanted}


def reverse(graph: Graph) -> dict[str, list[str]]:
    """The graph for taking things down: every name depends on those that depended on it."""
    return {
        name: [other for other, others in graph.items() if name in others]
        for name in reversed(list(graph))
    }
