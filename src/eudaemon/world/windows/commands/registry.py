"""`reg`: what is written is remembered for the session; what would be run at the next start is run, once, unseen."""

from __future__ import annotations

from eudaemon.world.windows.call import Call, Command, Run
from eudaemon.world.windows.commands.services import started
from eudaemon.world.windows.registry import DENIED, RUN_AT, TYPES, USERS, Registry, shown

_DONE = "The operation completed successfully.\r\n"
_UNKNOWN = "ERROR: The system was unable to find the specified registry key or value."
_HIVES = {"hklm": "HKEY_LOCAL_MACHINE", "hkcu": "HKEY_CURRENT_USER", "hkcr": "HKEY_CLASSES_ROOT", "hku": "HKEY_USERS",
          "hkcc": "HKEY_CURRENT_CONFIG"}  # fmt: skip


def reg(call: Call) -> Run:
    """`reg add`, `reg query`, `reg delete`, `reg import`, `reg save`."""
    verb, key = [*call.args, "", ""][:2]
    verb = verb.lower()
    options = _options(call.args[2:])
    full = _full(key)
    if verb == "add":
        name, data = options.get("v", ""), options.get("d", "")
        call.shell.note_registry(f"{full}\\{name}".lower(), f"{options.get('t', 'REG_SZ').upper()}    {data}")
        call.line(_DONE)
        if any(full.lower().endswith(place) or place + "\\" in full.lower() for place in RUN_AT):
            yield from started(call, data)
        return 0
    if verb == "query":
        return _query(call, full, options)
    if verb == "delete":
        if (call.shell.registry or {}).pop(f"{full}\\{options.get('v', '')}".lower(), None) is None:
            return call.error(_UNKNOWN)
        call.line(_DONE)
        return 0
    if verb == "save":
        return call.error("ERROR: A required privilege is not held by the client.")
    if verb in ("import", "export", "load", "unload", "copy"):
        call.line(_DONE)
        return 0
    return call.error('ERROR: Invalid syntax.\r\nType "REG /?" for usage.')


def _query(call: Call, key: str, options: dict[str, str]) -> int:
    held = (call.shell.registry or {}).get(f"{key}\\{options.get('v', '')}".lower())
    if held is not None:
        call.line(f"\r\n{key}\r\n    {options.get('v', '')}    {held}\r\n")
        return 0
    known = Registry(call.machine, call.shell.purse)
    found = known.find(_own(call, key))
    if found is None:
        return call.error(_UNKNOWN)
    if found.lower().startswith(DENIED) and not call.shell.user.endswith("system"):
        return call.error("ERROR: Access is denied.")
    values = known.values(found)
    if "v" in options or "ve" in options:
        name = options.get("v", "")
        values = {there: one for there, one in values.items() if there.lower() == name.lower()}
        if not values:
            return call.error(_UNKNOWN)
    rows = [f"    {name or '(Default)'}    {TYPES[one[0]]}    {shown(one)}" for name, one in values.items()]
    call.line("\r\n".join(["", key, *rows, ""]) if rows else "")
    if "v" not in options and "ve" not in options:
        for name in known.keys(found):
            call.line(f"{key}\\{name}")
    return 0


def _own(call: Call, key: str) -> str:
    """Return a key of the current user where it is among those of all users."""
    own = "HKEY_CURRENT_USER"
    return f"{USERS}\\{call.machine.sid}-500{key[len(own) :]}" if key.upper().startswith(own) else key


def _options(args: list[str]) -> dict[str, str]:
    found, at = {}, 0
    while at < len(args):
        option = args[at].lower().lstrip("/")
        if args[at][:1] == "/" and option in ("v", "d", "t", "s") and at + 1 < len(args):
            found[option] = args[at + 1]
            at += 1
        elif args[at][:1] == "/":
            found[option] = ""
        at += 1
    return found


def _full(key: str) -> str:
    hive, _, rest = key.partition("\\")
    return f"{_HIVES.get(hive.lower(), hive)}\\{rest}".rstrip("\\")


def regedit(call: Call) -> int:  # noqa: ARG001
    """Import what a file says: nobody reads it back."""
    return 0


TABLE: dict[str, Command] = {"reg": reg, "regedit": regedit, "regedt32": regedit, "regini": regedit}
