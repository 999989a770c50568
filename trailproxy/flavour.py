"""Flavour: which of the two builds runs, compiled or pure Python.

Both come from one source. TRAILPROXY_PURE=1 passes over compiled modules, for
debugging and for comparing; it has to be set before the rooms are imported.
"""

import os
import sys
from importlib.machinery import SOURCE_SUFFIXES, FileFinder, SourceFileLoader
from importlib.util import find_spec
from pathlib import Path


def prefer_source() -> None:
    """Load the modules of this package from source if TRAILPROXY_PURE=1, else as they come."""
    if os.environ.get("TRAILPROXY_PURE") != "1":
        return
    package = Path(__file__).parent
    for folder in (package, *(path for path in package.rglob("*") if path.is_dir())):
        finder = FileFinder(str(folder), (SourceFileLoader, SOURCE_SUFFIXES))
        sys.path_importer_cache[str(folder)] = finder


def flavour() -> str:
    """Return "compiled" or "pure Python"; the modules themselves are not loaded for that."""
    spec = find_spec("trailproxy.wire.native")
    return "pure Python" if spec is None or str(spec.origin).endswith(".py") else "compiled"
