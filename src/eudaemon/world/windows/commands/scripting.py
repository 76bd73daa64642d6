"""`cscript`, `wscript`: scripts are read for what they fetch, write and start; see `scripts`."""

from __future__ import annotations

from contextlib import suppress

from eudaemon.world.files import FileError
from eudaemon.world.windows.call import Call, Command, Run, url_in, words
from eudaemon.world.windows.limits import POWERSHELL_LAYERS_MAX
from eudaemon.world.windows.scripts import Deed, deeds

_TEXT_CHARS_MAX = 256 * 1024
_URL_CHARS_MAX = 2048


def script(call: Call) -> Run:
    """`cscript [//options] file [arguments]`."""
    rest = [arg for arg in words(call.tail) if not arg.startswith("//")]
    if not rest:
        return call.error("Microsoft (R) Windows Script Host Version 5.8\r\nCopyright (C) Microsoft Corporation. All "
                          "rights reserved.\r\n\r\n"
                          "Usage: CScript scriptname.extension [option...] [arguments...]")  # fmt: skip
    if call.name == "cscript" and "//nologo" not in call.tail.lower():
        call.line("Microsoft (R) Windows Script Host Version 5.8\r\nCopyright (C) Microsoft Corporation. All rights "
                  "reserved.\r\n")  # fmt: skip
    try:
        data = call.read(rest[0])
    except FileError:
        return call.error(f'Input Error: Can not find script file "{rest[0]}".')
    yield from call.shell.keep_at(rest[0], call.scope)
    return (yield from run_text(call, call.use(data).decode("latin-1"), tuple(rest[1:])))


def run_text(call: Call, text: str, arguments: tuple[str, ...] = ()) -> Run:
    """Do what a script does. What it wants fetched without saying where to is fetched all the same."""
    shell = call.shell
    if shell.layers >= POWERSHELL_LAYERS_MAX:
        return 1
    shell.layers += 1
    shell.budget.enter()
    text = text[:_TEXT_CHARS_MAX].lstrip("\xef\xbb\xbf\xff\xfe").replace("\0", "")
    doing = _Doing(call, arguments)
    try:
        for deed in deeds(text, arguments, shell.budget):
            yield from doing.take(deed)
        yield from doing.settle()
        if not doing.did and (url := url_in(text)):  # a language that is not ours, such as a page's
            yield from call.fetch(url, call.name, "")
    finally:
        shell.budget.leave()
        shell.layers -= 1
    return 0


class _Doing:
    """What one script has under way: a URL that is asked for, and a file that is open."""

    def __init__(self, call: Call, arguments: tuple[str, ...]) -> None:
        self.did = False
        self._call = call
        self._arguments = arguments
        self._wanted = self._target = ""
        self._body: list[str] = []

    def take(self, deed: Deed) -> Run:
        """Do one deed, or note what it begins."""
        self.did = True
        what = _expanded(deed.text, self._call)
        match deed.what:
            case "fetch" if "://" in what:
                yield from self.settle()
                self._wanted = what.strip()[:_URL_CHARS_MAX]
            case "save":
                wanted, self._wanted = self._wanted, ""
                yield from self.settle()
                if wanted:
                    yield from self._call.fetch(wanted, self._call.name, what)
                else:
                    self._target = what
            case "write" if self._target:
                self._body.append(deed.text)
            case "run":
                yield from self.settle()
                yield from self._call.shell.apart(what, self._call.scope.copy(), {})
            case "read":
                yield from self.settle()
                yield from run_text(self._call, deed.text, self._arguments)
        return 0

    def settle(self) -> Run:
        """Finish what is under way."""
        body, target, wanted = "".join(self._body), self._target, self._wanted
        self._body, self._target, self._wanted = [], "", ""
        if target and body:
            with suppress(FileError):
                yield from self._call.write(target, body.encode("latin-1", "replace"))
        if wanted:
            yield from self._call.fetch(wanted, self._call.name, "")
        return 0


def _expanded(text: str, call: Call) -> str:
    """Return text with `%TEMP%` and its like in it expanded."""
    from eudaemon.world.windows.expansion import percent

    return percent(text, call.shell.lookup(call.scope), None).replace("\\\\", "\\")


TABLE: dict[str, Command] = {"cscript": script, "wscript": script}
