"""Callbacks: looked up when a moromi.yml is read, imported only when their event is fired.

Each declaration gets its own modules: two in one process may have modules of the same name.
"""

import importlib
import importlib.util
import re
import symtable
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from nagoya.errors import did_you_mean

_DYNAMIC = {"__getattr__", "globals", "vars", "locals", "exec", "setattr"}
"""A module that uses one of these may have names that its source does not show."""
_STAR = re.compile(r"^\s*from .* import \*", re.MULTILINE)

_import_lock = threading.Lock()
_modules: dict[tuple[Path, ...], dict[str, ModuleType]] = {}
"""By the folders of a declaration, the modules that were imported from them."""


def find_problem(name: str, folders: Sequence[Path]) -> str | None:
    """What is wrong with `module.function`, looked for in folders, then in Python's own path.

    Nothing is imported, but for the parents of a module that is in none of the folders.
    """
    module, _, function = name.rpartition(".")
    try:
        spec = _find_module(module, folders)
        if spec is None:
            return f"No module named '{module}'"
        if spec.origin is None or not spec.origin.endswith(".py"):
            return None
        source = Path(spec.origin).read_text(encoding="utf-8")
        symbols = symtable.symtable(source, spec.origin, "exec").get_symbols()
    except SyntaxError as error:
        return f"{error.filename}, line {error.lineno}: {error.msg}"
    except (OSError, ValueError, ImportError) as error:
        return f"module '{module}': {error}"
    names = {
        symbol.get_name() for symbol in symbols if symbol.is_assigned() or symbol.is_imported()
    }
    dynamic = any(symbol.get_name() in _DYNAMIC for symbol in symbols)
    if function in names or dynamic or _STAR.search(source):
        return None
    return f"module '{module}' has no function '{function}'{did_you_mean(function, names)}"


@cache
def load(name: str, folders: tuple[Path, ...]) -> Callable[[Any], object]:
    """Import a callback. Raises whatever its module raises, and TypeError if it is not a
    function."""
    module, _, attribute = name.rpartition(".")
    with _import_lock, _importing_from(folders):
        function: Callable[[Any], object] = getattr(importlib.import_module(module), attribute)
    if not callable(function):
        raise TypeError(f"{name} is a {type(function).__name__}, not a function")
    return function


def _find_module(module: str, folders: Sequence[Path]) -> ModuleSpec | None:
    first, *rest = module.split(".")
    spec = PathFinder.find_spec(first, [str(folder) for folder in folders])
    spec = spec or importlib.util.find_spec(first)
    for part in rest:
        if spec is None:
            return None
        spec = PathFinder.find_spec(f"{spec.name}.{part}", spec.submodule_search_locations)
    return spec


@contextmanager
def _importing_from(folders: tuple[Path, ...]) -> Iterator[None]:
    """Import from these folders first; modules of the same names from elsewhere are put back."""
    local = {path.stem for folder in folders for path in folder.glob("*.py")}
    local |= {path.parent.name for folder in folders for path in folder.glob("*/__init__.py")}
    local -= {"nagoya", *sys.stdlib_module_names}
    path, others = list(sys.path), _take_out(local)
    sys.modules.update(_modules.get(folders, {}))
    sys.path[:0] = [str(folder) for folder in folders]
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path[:] = path
        _modules[folders] = _take_out(local)
        sys.modules.update(others)


def _take_out(names: set[str]) -> dict[str, ModuleType]:
    modules = [module for module in sys.modules if module.partition(".")[0] in names]
    return {module: sys.modules.pop(module) for module in modules}
