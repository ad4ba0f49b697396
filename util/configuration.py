"""Builds a Koji daemon's configuration: the image's settings, overridden by the site's files.

It works in the same way for all four daemons. Koji itself reads a folder for some of them, in which
the image's file would override the site's, and none for others.
"""

import configparser
import io
from collections.abc import Mapping
from pathlib import Path

from .entry import Fatal

# For Koji's daemons: reconnect within seconds, not minutes, after the hub was restarted.
RECONNECT = {"retry_interval": "2", "offline_retry_interval": "2", "max_retries": "300"}


def merged(settings: Mapping[str, Mapping[str, str]], folder: Path) -> str:
    """The text of a configuration: `settings` by section and name, overridden by `folder`/*.conf.

    The files are read in the order of their names, and a later one wins. Names of options have
    no case, as in Koji. Nothing is interpolated: a percent sign stays one. A missing folder counts
    as empty. Raises Fatal that names every unreadable file.
    """
    parser = configparser.RawConfigParser()
    parser.read_dict(settings)
    errors = []
    for path in sorted(folder.glob("*.conf")):
        try:
            parser.read_string(path.read_text(), source=str(path))
        except OSError as error:
            errors.append(f"{path}: {error.strerror}")
        except (configparser.Error, UnicodeDecodeError) as error:
            errors.append(f"{path}: {' '.join(str(error).split())}")
    if errors:
        raise Fatal(
            "the site's configuration is wrong: " + "; ".join(errors),
            hint="a file consists of lines `name = value` below a line `[section]`",
        )
    text = io.StringIO("# Written at every start from the environment and from\n")
    text.seek(0, io.SEEK_END)
    text.write(f"# {folder}/*.conf: change it there.\n\n")
    parser.write(text)
    return text.getvalue()
