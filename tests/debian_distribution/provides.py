#!/usr/bin/python3
"""What files provide beside their names: pkgconfig(), perl(), python3dist() and cmake().

The converter calls `provided`. rpmbuild runs this file as a generator of dependencies, with the
names of files on its stdin.
"""

import re
import sys
from pathlib import Path

_VARIABLE = re.compile(r"\$\{(\w+)\}")
_PERL_VERSION = re.compile(r"""^\s*(?:our\s+)?\$VERSION\s*=\s*['"]?v?(\d[\d._]*)""", re.MULTILINE)
_PERL_ROOTS = re.compile(r".*?/(?:perl5(?:/\d[\d.]*)?|perl(?:-base)?(?:/\d[\d.]*)?)/")


def provided(path: Path) -> str | None:
    """What a file provides, such as `pkgconfig(popt) = 1.19`, or None."""
    text = str(path)
    if path.suffix == ".pc":
        return _pkgconfig(path)
    if not path.is_file():
        return None
    if path.suffix == ".pm":
        return _perl(path)
    if text.endswith((".dist-info/METADATA", ".egg-info/PKG-INFO", ".egg-info")):
        return _python(path)
    if "/cmake/" in text and (match := re.match(r"(.+?)-?[cC]onfig\.cmake$", path.name)):
        return f"cmake({match[1]})"
    return None


def _pkgconfig(path: Path) -> str:
    # A link may lead to a file of another package.
    lines = path.read_text(errors="replace").splitlines() if path.exists() else []
    variables = dict(re.findall(r"^(\w+)\s*=\s*(.*?)\s*$", "\n".join(lines), re.MULTILINE))
    version = next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("Version:")), ""
    )
    version = _VARIABLE.sub(lambda match: variables.get(match[1], ""), version)
    return _versioned(f"pkgconfig({path.stem})", version)


def _perl(path: Path) -> str | None:
    module, count = _PERL_ROOTS.subn("", str(path), count=1)
    name = module.removesuffix(".pm").replace("/", "::")
    text = path.read_text(errors="replace")
    if not count or not re.search(rf"^\s*package\s+{re.escape(name)}\b", text, re.MULTILINE):
        return None
    version = _PERL_VERSION.search(text)
    return _versioned(f"perl({name})", version[1].replace("_", "") if version else "")


def _python(path: Path) -> str | None:
    head = path.read_text(errors="replace").partition("\n\n")[0]
    fields = dict(re.findall(r"^(Name|Version): (.*)$", head, re.MULTILINE))
    if "Name" not in fields:
        return None
    name = re.sub(r"[-_.]+", "-", fields["Name"]).lower()
    return _versioned(f"python3dist({name})", fields.get("Version", ""))


def _versioned(name: str, version: str) -> str:
    return f"{name} = {version}" if re.fullmatch(r"[\w.+~^]+", version) else name


def main() -> int:
    """Print what the files named on stdin provide."""
    for line in sys.stdin:
        if provides := provided(Path(line.rstrip("\n"))):
            print(provides)
    return 0


if __name__ == "__main__":
    sys.exit(main())
