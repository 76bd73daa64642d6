"""Who may import whom, and what may run on a router. Pure text: see `tree`."""

from __future__ import annotations

import sys

import pytest

from tidy.tree import SOURCE, imports, place, python_files

# Part: what else of ours it may import. The parts are the folders; what is missing here may import everything.
ARROWS = {
    "options.py": set(),
    "events": set(),
    "wire": set(),
    "world": {"events", "wire"},
    "protocols": {"events", "wire", "world"},
    "payload": {"events", "wire", "world", "options"},
    "sensor": {"events", "wire", "world", "protocols", "payload", "options"},
    "farm": {"events", "evidence", "wire", "payload", "options"},
    "demo": {"wire"},
    "evidence": {"events", "options"},
    "possession": {"events", "evidence", "options"},
    "testing": {"events", "wire", "world", "protocols", "payload"},
}

# A room hears of time, chance and the network; it never asks.
ROOMS_MAY_NOT = {"asyncio", "logging", "os", "random", "secrets", "socket", "ssl", "subprocess", "threading", "time"}

ROUTER = ("options.py", "events", "wire", "world", "protocols", "sensor", "payload")
# What of `payload` is for the farm alone, files and folders, each imported where it is used.
FARM_ONLY = (
    "payload/yara.py", "payload/fuzzy.py",
    "payload/shellcode/emulation/", "payload/shellcode/examine.py", "payload/shellcode/apart.py",
)  # fmt: skip
# Rooms that a router does without: what else they may import. Each says so itself, in `Door.needs`. And a fetcher that
# is loaded when it is first asked for.
ROOMS_NEED = {"protocols/ssh/": "cryptography", "payload/fetch/ssh.py": "cryptography"}
# Not in OpenWrt's python3-light, -asyncio, -logging or -openssl (or only with packages of their own).
ROUTERS_LACK = {
    "ctypes", "decimal", "distutils", "email", "fractions", "http", "importlib.metadata", "lzma", "multiprocessing",
    "pydoc", "readline", "smtplib", "sqlite3", "statistics", "unicodedata", "unittest", "urllib", "uuid", "venv",
    "xml", "xmlrpc",
}  # fmt: skip


def _within(module: str, names: set[str]) -> bool:
    return any(module == name or module.startswith(name + ".") for name in names)


@pytest.mark.parametrize("part", ARROWS)
def test_a_part_imports_only_what_it_may(part: str) -> None:
    allowed = {"eudaemon", "eudaemon.__version__", f"eudaemon.{part.removesuffix('.py')}"}
    allowed |= {f"eudaemon.{name}" for name in ARROWS[part]}
    wrong = [
        f"{place(path)}:{line} imports {module}"
        for path in python_files(part)
        for module, line in imports(path)
        if module.split(".")[0] == "eudaemon" and module != "eudaemon" and not _within(module, allowed - {"eudaemon"})
    ]
    assert not wrong


def test_the_check_has_something_to_check() -> None:
    for part in ARROWS:
        assert (SOURCE / part).exists(), f"{part} is in ARROWS but not in the package"
        assert python_files(part)


def test_rooms_do_not_ask_for_time_chance_or_network() -> None:
    wrong = [
        f"{place(path)}:{line} imports {module}"
        for path in python_files("protocols", "world")
        for module, line in imports(path)
        if module.split(".")[0] in ROOMS_MAY_NOT
    ]
    assert not wrong


def test_no_room_imports_another_room() -> None:
    """`_name.py` in protocols is shared by rooms; `name.py` or `name/` is one room."""
    wrong = []
    for path in python_files("protocols"):
        own = path.relative_to(SOURCE / "protocols").parts[0].removesuffix(".py")
        for module, line in imports(path):
            parts = module.split(".")
            if parts[:2] == ["eudaemon", "protocols"] and len(parts) > 2:
                other = parts[2]
                is_room = not other.startswith("_") and (
                    (SOURCE / "protocols" / other).is_dir() or (SOURCE / "protocols" / f"{other}.py").exists()
                )
                if is_room and other != own:
                    wrong.append(f"{place(path)}:{line} imports {module}")
    assert not wrong


def test_what_runs_on_a_router_needs_only_its_standard_library() -> None:
    wrong = [
        f"{place(path)}:{line} imports {module}"
        for path in python_files(*ROUTER)
        if not place(path).startswith(FARM_ONLY)
        for module, line in imports(path)
        if module.split(".")[0] != "eudaemon"
        and not any(place(path).startswith(room) and _within(module, {need}) for room, need in ROOMS_NEED.items())
        and (module.split(".")[0] not in sys.stdlib_module_names or _within(module, ROUTERS_LACK))
    ]
    assert not wrong


def test_what_is_for_the_farm_alone_is_not_imported_by_the_sensor() -> None:
    modules = {"eudaemon." + name.removesuffix(".py").strip("/").replace("/", ".") for name in FARM_ONLY}
    wrong = [
        f"{place(path)}:{line} imports {module}"
        for path in python_files(*ROUTER)
        if not place(path).startswith(FARM_ONLY)
        for module, line in imports(path)
        if _within(module, modules)
    ]
    assert not wrong


def test_nothing_in_the_package_imports_testing() -> None:
    wrong = [
        f"{place(path)}:{line}"
        for path in python_files()
        if not place(path).startswith("testing/")
        for module, line in imports(path)
        if _within(module, {"eudaemon.testing"})
    ]
    assert not wrong


def test_foreign_functions_have_an_address() -> None:
    """`ctypes` lives in two files: what the kernel offers and Python does not."""
    users = {place(path) for path in python_files() for module, _ in imports(path) if module.split(".")[0] == "ctypes"}
    assert users <= {"confinement.py", "possession/ptrace.py"}


def test_importing_has_no_effects() -> None:
    """At the top of a module stand definitions, constants and imports; calls only in constants."""
    import ast

    from tidy.tree import parsed

    allowed = (
        ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign,
        ast.If, ast.Try, ast.AugAssign, ast.TypeAlias if sys.version_info >= (3, 12) else ast.Assign,
    )  # fmt: skip
    wrong = []
    for path in python_files():
        for node in parsed(path).body:
            docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            if not isinstance(node, allowed) and not docstring:
                wrong.append(f"{place(path)}:{node.lineno}")
    assert not wrong
