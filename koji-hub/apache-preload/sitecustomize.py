"""Imports most of Koji's dependencies once, in the Apache process that forks those running Koji.

Each of those would spend the time and the memory for itself otherwise. Python imports this module
when it starts; the PYTHONPATH that leads here is set for Apache alone.

Only the standard library and pure Python: a graceful restart of Apache starts Python again in the
same process, where psycopg2 cannot be loaded twice. preload.py imports the rest, and everything
after such a restart.
"""

import inspect  # noqa: F401
import logging.handlers  # noqa: F401
import optparse  # noqa: F401
import os
import xmlrpc.client  # noqa: F401

import requests  # noqa: F401

# Neither the hub's child processes nor Apache's next Python need it. The rest is the site's.
_, _, rest = os.environ.pop("PYTHONPATH", "").partition(":")
if rest:
    os.environ["PYTHONPATH"] = rest
