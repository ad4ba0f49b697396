"""/run/koji-builder.json: the settings that entrypoint.py read, for the scripts that run after it.

It is written at every start, so its modification time separates this run from earlier ones.
"""

import json
from pathlib import Path
from typing import Any

PATH = Path("run/koji-builder.json")


def read(root: Path) -> dict[str, Any]:
    """Return what `builder` in entrypoint.py made."""
    return dict(json.loads((root / PATH).read_text()))
