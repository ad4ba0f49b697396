"""Loads once, in the Apache that forks the processes which run Koji, most of what Koji imports.

Each of them would spend the time and the memory for itself otherwise. Python imports this when it
starts, led here by the PYTHONPATH that Apache alone is given.

Only pure Python, and what is Python's own: a graceful restart of Apache starts Python anew in the
same process, where psycopg2 cannot be loaded twice. Those, and Koji, are left to preload.py, as is
all of it after such a restart.
"""

import inspect  # noqa: F401
import logging.handlers  # noqa: F401
import optparse  # noqa: F401
import os
import xmlrpc.client  # noqa: F401

import requests  # noqa: F401

# Not for what the hub starts, nor for Apache's next Python. What follows is the site's.
_, _, rest = os.environ.pop("PYTHONPATH", "").partition(":")
if rest:
    os.environ["PYTHONPATH"] = rest
