"""The one place that speaks to the container engine, through Docker's SDK.

`connect()` finds an engine; `containers` and `images` do things with it. Nothing outside of this
package imports `docker`, and nothing but `EngineError` comes out of it.
"""

from nagoya.engine.client import Engine, Handle, connect

__all__ = ["Engine", "Handle", "connect"]
