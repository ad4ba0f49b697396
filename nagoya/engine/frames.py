"""How Docker sends what a program prints on two streams over one connection."""

import struct
from collections.abc import Callable, Iterator

_HEAD = struct.Struct(">BxxxL")


def frames(read: Callable[[int], bytes]) -> Iterator[tuple[int, bytes]]:
    """The stream's number and a piece of its output, one after the other.

    `read` is asked for so many bytes, and gives less where the other side has closed.
    """
    while len(head := read(_HEAD.size)) == _HEAD.size:
        stream, size = _HEAD.unpack(head)
        yield stream, read(size)
