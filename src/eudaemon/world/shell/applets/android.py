"""What Android brings besides a shell: `getprop`, `pm`, `am`, `settings` and their like. Nothing is installed."""

from __future__ import annotations

from eudaemon.world.android import Android
from eudaemon.world.files import FileError, Written
from eudaemon.world.shell.acts import Kept
from eudaemon.world.shell.applets.system import succeed
from eudaemon.world.shell.call import Applet, Call, Run, number, options, text

_APK_BYTES_MAX = 32 * 1024 * 1024  # of one that comes through standard input


def getprop(call: Call) -> int:
    """One property, or all of them."""
    properties = _box(call).properties
    if call.args:
        call.line(properties.get(text(call.args[0]), text(call.args[1]) if len(call.args) > 1 else ""))
    else:
        for name, value in properties.items():
            call.line(f"[{name}]: [{value}]")
    return 0


def package_manager(call: Call) -> Run:
    """`pm`: `install`, `list packages`, `path`, `uninstall`; the rest succeeds."""
    verb, rest = (text(call.args[0]), call.args[1:]) if call.args else ("", [])
    if verb == "install":
        return (yield from _install(call, rest))
    if verb == "list" and rest[:1] == [b"packages"]:
        _, wanted = options(rest[1:])
        for name in _box(call).packages:
            if not wanted or text(wanted[0]) in name:
                call.line(f"package:{name}")
    elif verb == "path" and rest:
        name = text(rest[0])
        if name not in _box(call).packages:
            return 1
        call.line(f"package:/data/app/{name}-1/base.apk")
    elif verb in ("uninstall", "clear"):
        call.line("Success")
    return 0


def _install(call: Call, args: list[bytes]) -> Run:
    given, rest = options(args, "iSo")
    if "S" in given:
        package = yield from call.input(number(given["S"], 0, _APK_BYTES_MAX))
        if package:
            yield Kept("base.apk", package, "upload")
    elif not rest:
        call.line("Error: no package specified")
        return 1
    else:
        try:
            path = call.resolve(rest[-1])
            node = call.files.get(path)
        except FileError:
            call.line(f"Error: Unable to open file: {text(rest[-1])}")
            return 1
        if isinstance(node, Written):
            yield from call.shell.keep(path, node, script=False)
        if _box(call).release.sdk < 24:
            call.line(f"\tpkg: {text(rest[-1])}")
    call.line("Success")
    return 0


def activity_manager(call: Call) -> int:
    """`am`: what is to be started is named."""
    given, rest = options(call.args[1:], "nadtcf") if call.args else ({}, [])
    if call.args[:1] in ([b"start"], [b"startservice"], [b"start-foreground-service"]):
        what = f"cmp={text(given['n'])}" if "n" in given else f"act={text(given.get('a', b''))}"
        call.line(f"Starting{' service' if call.args[0] != b'start' else ''}: Intent {{ {what} }}")
    elif call.args[:1] == [b"broadcast"]:
        call.line(f"Broadcasting: Intent {{ act={text(given.get('a', b''))} }}\nBroadcast completed: result=0")
    elif not call.args or rest[:1] == [b"help"]:
        call.line("usage: am [subcommand] [options]")
    return 0


def command(call: Call) -> Run:
    """`cmd SERVICE …`: of `package` it is `pm`."""
    if call.args[:1] == [b"package"]:
        return (yield from package_manager(Call(call.shell, call.scope, call.streams, "pm", call.args[1:])))
    if call.args[:1] == [b"activity"]:
        return activity_manager(Call(call.shell, call.scope, call.streams, "am", call.args[1:]))
    if not call.args:
        call.line("cmd: no service specified; use -l to list all services")
        return 20
    return 0


def settings(call: Call) -> int:
    """`settings get` knows little; `put` works."""
    if call.args[:1] == [b"get"]:
        known = {b"android_id": call.host.seed.bytes("android id", 8).hex(), b"adb_enabled": "1"}
        call.line(known.get(call.args[-1], "null"))
    return 0


def toybox(call: Call) -> Run:
    """`toybox COMMAND …`: its list without one."""
    if not call.args:
        call.line(" ".join(sorted(call.host.applets)))
        return 0
    name = text(call.args[0])
    if call.shell.applet(call.args[0]) is None:
        call.say(f"toybox: Unknown command {name}\n")
        return 127
    return (yield from call.shell.evaluator.call_applet(name, call.args, call.scope, call.streams))


def _box(call: Call) -> Android:
    if not isinstance(call.host, Android):
        raise TypeError(f"{call.name} is for Android alone")  # no other host has it among its programs
    return call.host


TABLE: dict[str, Applet] = {
    "getprop": getprop, "pm": package_manager, "am": activity_manager, "cmd": command, "settings": settings,
    "toybox": toybox,
    **dict.fromkeys(("app_process", "dumpsys", "ime", "input", "logcat", "monkey", "screencap", "service", "setprop",
                     "svc", "wm"), succeed),
}  # fmt: skip
