"""Imports the modules that Koji would import at the first request, so that it need not wait.

Koji imports them late, since it learns only from a request where its files are. Apache imports this
script into each of its Python processes before they take requests.
"""

import importlib
import sys

# By the process group: where Koji's scripts are (it puts that on the path itself, later, and once
# more does no harm), and what they import late.
LATE = {
    "kojihub": ("/usr/share/koji-hub", ["psycopg2", "rpm", "koji.policy", "kojihub"]),
    # Its `index` imports the templates' library: Cheetah, or Jinja since.
    "kojiweb": ("/usr/share/koji-web/scripts", ["koji.tasks", "index"]),
}


def preload(group: str) -> None:
    """Import the modules of a process group. Koji itself reports those that cannot be imported."""
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
