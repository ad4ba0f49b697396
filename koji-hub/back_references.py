r"""Refuses regular expressions with back references, such as `(a+)\1`.

PostgreSQL matches other expressions in a moment. For one with a back reference it may try all ways
to divide a text. With forty characters that takes days, in which a process of the hub and one of
the database do nothing else. Anybody may search, without a log-in.
"""

import re
from collections.abc import Mapping
from typing import Any

# Koji makes regular expressions of terms, arches, names of files and platforms. The last three call
# others by their names.
CALLS = (
    "search", "listHosts", "getArchiveType", "listArchives",
    "count", "filterResults", "countAndFilterResults",
)  # fmt: skip
BACK_REFERENCE = re.compile(r"\\[1-9]")


def has_back_reference(values: object, depth: int = 3) -> bool:
    """Whether there is one in the arguments of a call: in a text, or in one of their texts."""
    if isinstance(values, str):
        return bool(BACK_REFERENCE.search(values))
    if isinstance(values, Mapping):
        values = list(values.values())
    return (
        isinstance(values, list | tuple)
        and depth > 0
        and any(has_back_reference(value, depth - 1) for value in values)
    )


def refuse_back_references(koji_entry: Mapping[str, Any]) -> None:
    """Have Koji refuse such calls. `koji_entry` holds the names of its module kojixmlrpc."""
    handler, koji = koji_entry["ModXMLRPCRequestHandler"], koji_entry["koji"]
    dispatch = handler._dispatch

    def check_and_dispatch(self: Any, method: str, params: Any) -> Any:
        if method in CALLS and has_back_reference(params):
            raise koji.GenericError("a regular expression cannot have back references here")
        return dispatch(self, method, params)

    handler._dispatch = check_and_dispatch
