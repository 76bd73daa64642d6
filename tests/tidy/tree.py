"""The package as text: files, imports, names. Nothing is imported, so that importing itself can be judged."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "eudaemon"


@functools.cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def python_files(*parts: str) -> list[Path]:
    """Return the package's Python files below any of the parts (all, if none is named)."""
    files = sorted(SOURCE.rglob("*.py"))
    if not parts:
        return files
    return [f for f in files if any(f == SOURCE / p or (SOURCE / p) in f.parents for p in parts)]


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """Yield every module that a file imports, anywhere in it, by its absolute name, with the line."""
    package = ["eudaemon", *path.relative_to(SOURCE).with_suffix("").parts]
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: -node.level]) if node.level else ""
            module = ".".join(filter(None, (base, node.module or "")))
            yield module, node.lineno
            if module == "eudaemon" or module.startswith("eudaemon."):
                for alias in node.names:
                    yield f"{module}.{alias.name}", node.lineno


def place(path: Path) -> str:
    """Return a file's place as people say it: `protocols/telnet.py`."""
    return str(path.relative_to(SOURCE))
