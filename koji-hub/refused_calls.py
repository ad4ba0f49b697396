r"""Refuses calls by which anybody, without a log-in, could keep the database busy.

Row locks: Koji passes a client's options of a query to the code that makes its SQL, where `rowlock`
adds FOR UPDATE. All rows of a table would be locked for as long as a multicall takes, while
builders wait for them.

Back references in regular expressions, such as `(a+)\1`: PostgreSQL matches other expressions in a
moment. For one with a back reference it may try all ways to divide a text. With forty characters
that takes days, in which a process of the hub and one of the database do nothing else.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

# How deep the arguments of a call are searched.
DEPTH = 3
OPTION = "rowlock"
# Koji makes regular expressions of terms, arches, names of files and platforms. The last three call
# others by their names.
SEARCHES = (
    "search", "listHosts", "getArchiveType", "listArchives",
    "count", "filterResults", "countAndFilterResults",
)  # fmt: skip
BACK_REFERENCE = re.compile(r"\\[1-9]")


def nested_values(value: object, depth: int = DEPTH) -> Iterator[object]:
    """A value, and what is in it, if it is a list or a mapping."""
    yield value
    inner = list(value.values()) if isinstance(value, Mapping) else value
    if isinstance(inner, list | tuple) and depth > 0:
        for each in inner:
            yield from nested_values(each, depth - 1)


def objection(method: str, params: object) -> str | None:
    """Why a call is refused, if it is. A multicall's calls are looked at one by one."""
    if method == "multiCall":
        return None
    values = [*nested_values(params)]
    if any(isinstance(value, Mapping) and value.get(OPTION) for value in values):
        return f"clients cannot use the option {OPTION}"
    texts = [value for value in values if isinstance(value, str)]
    if method in SEARCHES and any(map(BACK_REFERENCE.search, texts)):
        return "a regular expression cannot have back references here"
    return None


def refuse_calls(koji_entry: Mapping[str, Any]) -> None:
    """Have Koji refuse such calls. `koji_entry` holds the names of its module kojixmlrpc."""
    handler, koji = koji_entry["ModXMLRPCRequestHandler"], koji_entry["koji"]
    dispatch = handler._dispatch

    def check_and_dispatch(self: Any, method: str, params: Any) -> Any:
        if reason := objection(method, params):
            raise koji.GenericError(reason)
        return dispatch(self, method, params)

    handler._dispatch = check_and_dispatch
