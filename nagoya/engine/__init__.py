"""The one place that speaks to the container engine, through Docker's SDK.

`connect()` finds an engine; `containers`, `images`, `resources`, `transfer` and `exec` act on it,
`state` reads its answers. Nothing outside of this package imports `docker`, and every failure is an
`EngineError`.
"""

from nagoya.engine.client import Engine, Handle, connect

__all__ = ["Engine", "Handle", "connect"]
