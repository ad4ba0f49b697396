"""Refuses calls that ask for locks of the database's rows.

Koji passes a client's options of a query to the code that makes its SQL, where `rowlock` adds FOR
UPDATE. So anybody could lock all rows of a table for as long as a multicall takes, without a
log-in, while builders wait for them.
"""

from collections.abc import Mapping
from typing import Any

OPTION = "rowlock"


def has_row_lock(values: object, depth: int = 3) -> bool:
    """Whether the option is in the arguments of a call: in a mapping, or in one below it."""
    if isinstance(values, Mapping):
        return bool(values.get(OPTION)) or (
            depth > 0 and any(has_row_lock(value, depth - 1) for value in values.values())
        )
    return (
        isinstance(values, list | tuple)
        and depth > 0
        and any(has_row_lock(value, depth - 1) for value in values)
    )


def refuse_row_locks(koji_entry: Mapping[str, Any]) -> None:
    """Have Koji refuse such calls. `koji_entry` holds the names of its module kojixmlrpc."""
    handler, koji = koji_entry["ModXMLRPCRequestHandler"], koji_entry["koji"]
    dispatch = handler._dispatch

    def check_and_dispatch(self: Any, method: str, params: Any) -> Any:
        if method != "multiCall" and has_row_lock(params):
            raise koji.GenericError(f"clients cannot use the option {OPTION}")
        return dispatch(self, method, params)

    handler._dispatch = check_and_dispatch
