"""A plugin for kojid: a task's download is tried again while the hub is away, for two minutes.

kojid repeats its calls for a long time, but gives up a download after two seconds, and the build
fails. What a builder cannot resolve, reach or read to the end is tried again; what the hub refuses,
such as a file that is not there, is not, and the task fails with that reason. The plugin is always
on, whatever KOJI_BUILDER_PLUGINS says.
"""

import functools
import logging
import sys
import time
from collections.abc import Callable
from typing import Any

import koji
import requests

# Seconds between two attempts, and after which there is no other: as long as mock lets dnf try.
PAUSE, PATIENCE = 3.0, 120.0
LOG = logging.getLogger("koji.retry_downloads")


def repeat(download: Callable[..., Any]) -> Callable[..., Any]:
    """Koji's function, of which this has the arguments."""

    @functools.wraps(download)
    def download_repeatedly(url: str, path: Any = None, fo: Any = None, **options: Any) -> Any:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return download(url, path=path, fo=fo, **options)
            except requests.exceptions.RequestException as error:
                if reason := refusal(error):
                    raise koji.GenericError(f"cannot download {url}: {reason}") from None
                if time.monotonic() > deadline:
                    raise
                LOG.warning("%s: %s; trying again in %g s", url, error, PAUSE)
            time.sleep(PAUSE)
            if fo:
                fo.seek(0)
                fo.truncate()

    return download_repeatedly


def refusal(error: requests.exceptions.RequestException) -> str | None:
    """What the hub has answered, if it would not answer otherwise in a moment."""
    answer = error.response
    if answer is None or answer.status_code >= 500:
        return None
    return f"{answer.status_code} {answer.reason}"


if hasattr(sys.modules["__main__"], "TaskManager"):
    koji.downloadFile = repeat(koji.downloadFile)
    LOG.info("downloads are tried again for %g s", PATIENCE)
