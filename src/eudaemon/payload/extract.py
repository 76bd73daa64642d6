"""The one extractor: from whatever an attack brought to the list of what it would fetch. Executes and fetches nothing.

    bytes -> layers of decoding -> fragments that may be commands -> the one shell engine -> downloads
                               \\-> URLs that stand there plainly -----------------------------^
          \\-> signatures of shellcodes: what stands behind a XOR ---------------------------------^

Each fragment is run twice, once in a world where every download works and once where none does, so that both sides of
`&&` and of `||` show. Everything is bounded: layers, bytes, fragments, shell steps and results.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field, replace

from eudaemon.payload import fragments, java, url
from eudaemon.payload.fetch.policy import is_private
from eudaemon.payload.scripts import language_of
from eudaemon.payload.shellcode.behaviour import Executes, wishes
from eudaemon.payload.shellcode.shells import Shell as WantedShell
from eudaemon.payload.shellcode.shells import shells
from eudaemon.payload.shellcode.signatures import signatures
from eudaemon.payload.unfolding import unfolded
from eudaemon.payload.unpacking import unpacked
from eudaemon.wire import PeerError, Purse, decode, printable
from eudaemon.world.host import Host
from eudaemon.world.outside import Download, Downloaded
from eudaemon.world.shell import Act, Shell
from eudaemon.world.shell.limits import LINE_BYTES_MAX, WORK_BYTES_MAX
from eudaemon.world.shell.limits import STEPS_MAX as LINE_STEPS_MAX

PAYLOAD_BYTES_MAX = 256 * 1024  # more of a payload is not looked at, unless the caller says so
TEXTS_MAX = 24
LAYERS_SHARE = 4  # what decoding gives may be so many times as large, all together
DOWNLOADS_MAX = 128
COMMANDS_MAX = 64
RUNS_MAX = 96
STEPS_MAX = 60_000  # shell steps in all
WINDOWS_WORK_BYTES_MAX = 24 * 1024 * 1024  # that the pretended Windows may read and write for it in all
SHELL_BYTES_MAX = 512 * 1024  # that the shell is given to read in all: reading is what costs
_FILES_BYTES_MAX = 1024 * 1024
_LINES_MAX = 2000
_ANNOUNCED = re.compile(rb"(?i)base64/([a-z0-9+=_-]{8,})")
# Beginnings of what is sent in base64: programs, archives, serialised objects (Java, .NET, Python).
_MAGIC = (b"\x7fELF", b"MZ\x90\0", b"PK\x03\x04", b"\x1f\x8b\x08", b"\x78\x9c", b"\x78\xda", b"BZh9", b"\xfd7zXZ",
          b"\xca\xfe\xba\xbe", b"\xac\xed\0\x05", b"\0\x01\0\0\0\xff\xff\xff\xff", b"\x80\x04\x95")  # fmt: skip
_PRINTABLE = bytes((9, 10, 13, *range(32, 127)))
_STRANGE_SHARE = 20  # of what is called text, at most one byte in so many is none


@dataclass(frozen=True, slots=True)
class Extraction:
    """What a payload would do, as far as it shows."""

    downloads: tuple[Download, ...] = ()  # in the order found, each URL once
    commands: tuple[str, ...] = ()  # the fragments that are shell commands, as text
    layers: tuple[bytes, ...] = ()  # the payload, and what undoing its wrappings gave
    shells: tuple[WantedShell, ...] = ()  # that a shellcode in it would open
    private: tuple[str, ...] = ()  # URLs that name an address which means nothing here (RFC 1918)


def extract(
    payload: bytes, host: Host, attacker_ip: str = "", *, bytes_max: int = PAYLOAD_BYTES_MAX
) -> Extraction:  # fmt: skip
    """Take a payload apart as `host` would. With `attacker_ip`, that stands where a URL names a private address.

    Blocks: up to a second on a PC for the worst that `PAYLOAD_BYTES_MAX` admits, a millisecond for most attacks.
    """
    search = _Search(host, attacker_ip)
    for text in _layers(payload[:bytes_max], bytes_max):
        search.look_at(text)
    search.look_for_code(payload[:bytes_max])
    return Extraction(
        tuple(search.downloads.values()),
        tuple(search.commands),
        tuple(search.layers),
        search.shells,
        tuple(search.private),
    )


@dataclass(slots=True)
class _Search:
    host: Host
    attacker_ip: str
    downloads: dict[str, Download] = field(default_factory=dict)
    commands: dict[str, None] = field(default_factory=dict)
    private: dict[str, None] = field(default_factory=dict)
    layers: list[bytes] = field(default_factory=list)
    shells: tuple[WantedShell, ...] = ()
    ran: set[bytes] = field(default_factory=set)
    steps: int = STEPS_MAX
    windows_work: int = WINDOWS_WORK_BYTES_MAX
    shell_bytes: int = SHELL_BYTES_MAX

    def look_at(self, text: bytes) -> None:
        """Find what this layer holds."""
        self.layers.append(text)
        text = java.constants(text) or text
        if fragments.is_script(text):
            self.run(text)
        for fragment in fragments.fragments(text):
            self.run(fragment)
        if fragments.has_windows(text):
            self.look_at_windows(text)
        loaded = tuple(java.classes(text))
        for where in loaded:
            self.found(Download(where, "class loading"))
        for where, tool in fragments.urls(text) if not loaded else ():  # those would be its code bases
            # A URL that others continue is a variable's value, not a wish.
            if not any(known.startswith(where + "/") for known in self.downloads):
                self.found(Download(where, tool))

    def look_for_code(self, payload: bytes) -> None:
        """Find what a shellcode shows of itself without being run: URLs and commands behind a XOR."""
        found = signatures(payload)
        behaviours = [signature.behaviour for signature in found]
        self.shells = shells((signature.behaviour, signature.system) for signature in found)
        for download in wishes(behaviours):
            self.found(download)
        for behaviour in behaviours:
            if isinstance(behaviour, Executes):
                self.run(behaviour.line)

    def found(self, download: Download) -> bool:
        """Note a download; False if it is none that anybody could carry out."""
        try:
            where = url.parse(download.url)
        except ValueError:
            return False
        if is_private(where.host):
            self.private[str(where)] = None
            if self.attacker_ip:
                where = replace(where, host=self.attacker_ip)
        if len(self.downloads) < DOWNLOADS_MAX:
            self.downloads.setdefault(str(where), replace(download, url=str(where)))
        return True

    def run(self, text: bytes) -> None:
        """Run a fragment in the pretended shell, in a world where downloads work and in one where they do not."""
        if text in self.ran or len(self.ran) >= RUNS_MAX:
            return
        self.ran.add(text)
        text = text[: self.shell_bytes // 4]  # twice, and at most half of what is left: the next ones get theirs
        self.shell_bytes -= 2 * len(text)
        meant = False
        for outcome in ("ok", "failed"):
            meant |= self._run_in(text, outcome)
        if meant and len(self.commands) < COMMANDS_MAX:
            self.commands[printable(text)] = None

    def look_at_windows(self, text: bytes) -> None:
        """Run what may be commands in the pretended Windows: a script as a whole, else the pieces."""
        language = language_of(text[: 64 * 1024].lower()) if b"\0" not in text else ""
        if language == "PowerShell":
            self._run_on_windows([b"powershell -"], text)
        elif language == "Windows batch":
            self._run_on_windows(text.replace(b"\r\n", b"\n").split(b"\n")[:_LINES_MAX])
        else:
            for piece in fragments.windows(text):
                is_command = piece[:3].lower() != b"iex" and b"-" not in piece.split(b" ")[0]
                self._run_on_windows([piece] if is_command else [b"powershell -"], b"" if is_command else piece)

    def _run_on_windows(self, lines: list[bytes], given: bytes = b"") -> None:
        """Run lines, or one that reads `given`. The engine is loaded with the first payload that speaks to Windows."""
        from eudaemon.world.windows.engine import CommandShell
        from eudaemon.world.windows.machine import windows_of

        key = b"\n".join((*lines, given))
        if key in self.ran or len(self.ran) >= RUNS_MAX:
            return
        self.ran.add(key)
        shell = CommandShell(windows_of(self.host), purse=Purse(_FILES_BYTES_MAX),
                             seed=self.host.seed.child("extract"), user="nt authority\\system")  # fmt: skip
        meant = False
        try:
            for line in lines:
                if self.windows_work <= 0 or shell.exited:
                    break
                if given:
                    shell.give_input(given)
                acts, answer = shell.run(line[:LINE_BYTES_MAX], 0.0), None
                while (act := _next(acts, answer)) is not None:
                    answer = None
                    if isinstance(act, Download):
                        meant |= self.found(act)
                        answer = Downloaded(act.url, "ok")
                self.windows_work -= max(0, WORK_BYTES_MAX - shell.budget.work_bytes)
        except PeerError:
            pass  # a limit of the shell's: what it did until then stands
        if meant and len(self.commands) < COMMANDS_MAX:
            self.commands[printable(given or b"\n".join(lines))] = None

    def _run_in(self, text: bytes, outcome: str) -> bool:
        purse = Purse(_FILES_BYTES_MAX)
        shell = Shell(self.host, purse=purse, seed=self.host.seed.child("extract"))
        meant = False
        try:
            for line in text.replace(b"\r\n", b"\n").split(b"\n")[:_LINES_MAX]:
                if self.steps <= 0 or shell.exited:
                    break
                acts, answer = shell.run(line, 0.0), None
                while (act := _next(acts, answer)) is not None:
                    answer = None
                    if isinstance(act, Download):
                        meant |= self.found(act)
                        answer = Downloaded(act.url, outcome)
                self.steps -= 1 + LINE_STEPS_MAX - max(0, shell.budget.steps)
        except PeerError:
            pass  # a limit of the shell's: what it did until then stands
        return meant


def _next(acts: Generator[Act, Downloaded | None, int], answer: Downloaded | None) -> Act | None:
    try:
        return acts.send(answer)
    except StopIteration:
        return None


def _layers(payload: bytes, bytes_max: int) -> Iterator[bytes]:
    """Yield the payload and what undoing its wrappings gives, within limits; none twice."""
    seen: set[bytes] = set()
    room = LAYERS_SHARE * bytes_max
    starts = [payload]
    while starts:
        for text in decode.layers(starts.pop(0), texts_max=TEXTS_MAX, bytes_max=room, is_meant=_is_meant):
            if text in seen or len(text) > room or len(seen) >= TEXTS_MAX:
                continue
            seen.add(text)
            room -= len(text)
            yield text
            starts.extend(
                inner
                for inner in (
                    *unpacked(text, bytes_max),
                    _narrow(text),
                    _looked_up(text),
                    _announced(text),
                    *unfolded(text),
                )
                if inner
            )


def _is_meant(decoded: bytes) -> bool:
    """Whether what a long word decodes to was meant: text, a known format, or bytes with a command in them."""
    if decoded.startswith(_MAGIC) or fragments.has_command(decoded) or _narrow(decoded):
        return True
    return len(decoded.translate(None, _PRINTABLE)) * _STRANGE_SHARE <= len(decoded)


def _narrow(text: bytes) -> bytes:
    """Return UTF-16LE text (`powershell -enc`) as bytes of one each, or nothing if it is none."""
    sample = text[:256]
    is_wide = len(sample) >= 16 and sample[1::2].count(0) * 10 >= len(sample[1::2]) * 9
    return text.decode("utf-16-le", "replace").encode("utf-8", "replace") if is_wide else b""


def _announced(text: bytes) -> bytes:
    """Return what `Base64/…` in a URL says: the path's slashes, which are base64 too, hide where it begins."""
    found = _ANNOUNCED.search(text)
    return (decode.base64_text(found[1]) or b"") if found else b""


def _looked_up(text: bytes) -> bytes:
    """Return the text with Log4j's lookups resolved, or nothing if there are none."""
    made, _ = decode.lookups(text)
    return made if made != text else b""
