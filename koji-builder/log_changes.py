"""A plugin for kojid: what it logs at each poll is logged once a minute, and when it changes.

A kojid with tasks logs each of them at each poll, several times a second, though they seldom
change. With KOJI_LOG_LEVEL=DEBUG every poll is logged. The plugin is always on, whatever
KOJI_BUILDER_PLUGINS says.
"""

import logging
import sys
import time

_SECONDS = 60.0


class Changes(logging.Filter):
    """Drops a line that was logged less than a minute ago."""

    def __init__(self) -> None:
        super().__init__()
        self._logged: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to log `record`."""
        now = time.monotonic()
        self._logged = {text: at for text, at in self._logged.items() if now - at < _SECONDS}
        text = record.getMessage()
        if text in self._logged:
            return False
        self._logged[text] = now
        return True


def install(logger: logging.Logger) -> None:
    """Filter what `logger` logs, unless it logs at the debug level."""
    if not logger.isEnabledFor(logging.DEBUG):
        logger.addFilter(Changes())


if hasattr(sys.modules["__main__"], "TaskManager"):
    install(logging.getLogger("koji.TaskManager"))
