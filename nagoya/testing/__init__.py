"""A throwaway Koji for tests: the context manager `running_koji`, and fixtures for pytest.

pytest loads this package in every run, so it imports nothing heavy before it is used.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nagoya.testing.instance import Koji
    from nagoya.testing.launch import running_koji

__all__ = ["Koji", "running_koji"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from nagoya.testing import launch  # noqa: PLC0415 - see above

    return getattr(launch, name)
