"""Loads what Koji loads at the first request, so that the first request does not wait for it.

Koji sets itself up when it is called first, as it learns only then where its files are. Apache
imports this into each of its Python processes before they take requests.
"""

import importlib
import sys

# By the process group: where Koji's scripts are (it puts that on the path itself, later, and once
# more does no harm), and what they import late.
LATE = {
    "kojihub": ("/usr/share/koji-hub", ["psycopg2", "rpm", "koji.policy", "kojihub"]),
    "kojiweb": ("/usr/share/koji-web/scripts", ["Cheetah.Template", "koji.tasks", "index"]),
}


def preload(group: str) -> None:
    """Import what `group` needs. What cannot be imported, Koji reports itself in due time."""
    folder, modules = LATE[group]
    sys.path[:0] = [folder, "/usr/share/koji-web/lib"] if group == "kojiweb" else [folder]
    for name in modules:
        try:
            importlib.import_module(name)
        except ImportError as error:
            print(f"koji-hub: {group}: {error}", file=sys.stderr)


if __name__.startswith("_mod_wsgi_"):
    import mod_wsgi  # type: ignore[import-not-found]

    preload(mod_wsgi.process_group)
