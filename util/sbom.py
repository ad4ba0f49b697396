"""Lists what an image consists of, while it is built: packages of Debian and of Python.

The list is a bill of materials in JSON, as CycloneDX 1.5 defines it.
"""

import json
import subprocess
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from urllib.parse import quote

BILL = Path("/usr/share/nagoya/sbom.json")
_FORMAT = "${db:Status-Abbrev}\t${Package}\t${Version}\t${Architecture}\n"


def debian(listing: str) -> list[dict[str, str]]:
    """The components in the output of dpkg-query with _FORMAT."""
    lines = (line.split("\t") for line in listing.splitlines())
    return [
        _component(name, version, f"deb/debian/{name}", f"?arch={architecture}")
        for state, name, version, architecture in lines
        if state.startswith("ii")
    ]


def python(distributions: Iterable[metadata.Distribution]) -> list[dict[str, str]]:
    """The components of these distributions."""
    packages = sorted(
        {(distribution.metadata["Name"], distribution.version) for distribution in distributions}
    )
    return [
        _component(name, version, f"pypi/{name.lower().replace('_', '-')}")
        for name, version in packages
    ]


def _component(name: str, version: str, path: str, qualifiers: str = "") -> dict[str, str]:
    url = f"pkg:{path}@{quote(version, safe='.-_~')}{qualifiers}"
    return {"type": "library", "name": name, "version": version, "purl": url}


def main() -> int:
    """Write the list."""
    command = ["dpkg-query", "--show", f"--showformat={_FORMAT}"]
    listing = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    components = [*debian(listing), *python(metadata.distributions())]
    bill = {"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1, "components": components}
    BILL.parent.mkdir(parents=True, exist_ok=True)
    BILL.write_text(json.dumps(bill, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
