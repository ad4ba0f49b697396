"""What is done after what: pure, and known before anything is done."""

from collections.abc import Collection, Iterable, Mapping
from graphlib import CycleError, TopologicalSorter

Needs = Mapping[str, Collection[str]]


class Cycle(ValueError):
    """Names need each other in a circle; reads as `a => b => a`."""

    def __init__(self, names: Iterable[str]) -> None:
        super().__init__(" => ".join(names))


def waves(needs: Needs) -> list[list[str]]:
    """Names in waves: each wave needs only those before it, and may be done in parallel.

    `needs` says what each name needs; a needed name that is no key itself is taken to be there
    already. Order within a wave is that of `needs`. Raises Cycle.
    """
    own = {name: [other for other in others if other in needs] for name, others in needs.items()}
    place = {name: index for index, name in enumerate(needs)}
    sorter = TopologicalSorter(own)
    try:
        sorter.prepare()
    except CycleError as error:
        # graphlib tells the circle against the direction of need.
        raise Cycle(reversed(error.args[1])) from None
    waves = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready(), key=place.__getitem__)
        waves.append(ready)
        sorter.done(*ready)
    return waves


def with_dependencies(names: Iterable[str], needs: Needs) -> dict[str, Collection[str]]:
    """The part of `needs` that `names` stand on, themselves included, in its own order."""
    wanted: set[str] = set()
    open_ = list(names)
    while open_:
        name = open_.pop()
        if name in needs and name not in wanted:
            wanted.add(name)
            open_.extend(needs[name])
    return {name: others for name, others in needs.items() if name in wanted}


def reverse(needs: Needs) -> dict[str, list[str]]:
    """Who has to go first when things are taken down: every name after those that need it."""
    return {
        name: [other for other, others in needs.items() if name in others]
        for name in reversed(list(needs))
    }
