#!/usr/bin/python3
"""Install wheels below a root, where Debian's Python finds them.

    nagoya-install-wheels FOLDER ROOT LIST

FOLDER holds the wheels. LIST gets the names of the modules' files, as %files -f takes them.
"""

import os
import sys
import sysconfig
from pathlib import Path

from installer import install
from installer.destinations import SchemeDictionaryDestination
from installer.sources import WheelFile


def main() -> None:
    """See above."""
    folder, root, file_list = map(Path, sys.argv[1:])
    paths = sysconfig.get_paths("deb_system", {"base": "/usr", "platbase": "/usr"})
    for path in sorted(folder.glob("*.whl")):
        destination = SchemeDictionaryDestination(
            {**paths, "headers": paths["include"]}, "/usr/bin/python3", "posix", destdir=str(root)
        )
        with WheelFile.open(path) as source:
            install(source, destination, {"INSTALLER": b"rpm\n"})
    modules = root / paths["purelib"].lstrip("/")
    lines = []
    for directory, _, files in os.walk(modules):
        inner = f"/{Path(directory).relative_to(root)}"
        if Path(directory) != modules:
            lines.append(f'%dir "{inner}"')
        lines += [f'"{inner}/{name}"' for name in files]
    file_list.write_text("".join(f"{line}\n" for line in sorted(lines)))


if __name__ == "__main__":
    main()
