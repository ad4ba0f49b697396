"""tools/engine on paths of a test's own, so that no test meets this machine's private engine."""

from pathlib import Path


def isolate(script: str, folder: Path) -> str:
    """The text of tools/engine, with all that it touches moved into a folder."""
    for path, name in {
        "${NAGOYA_ENGINE_DATA:-/var/lib/nagoya/engine}": "data",
        "/var/run/docker.sock": "no.sock",
        "/run/nagoya\n": "run\n",
    }.items():
        assert path in script
        script = script.replace(path, f"{folder}/{name}")
    return script
