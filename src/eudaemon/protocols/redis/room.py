"""The connection: requests in, one reply to each, in order. What the pretended shell runs holds the next one up."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import ClassVar

from eudaemon.events.catalogue import CommandEntered, ExploitRecognised
from eudaemon.protocols._base import (
    Answered,
    Claim,
    Ended,
    Fetch,
    HalfClosed,
    HangUp,
    Keep,
    Occasion,
    Opened,
    Order,
    Received,
    Room,
    Saw,
    Send,
    Visit,
    Woken,
)  # fmt: skip
from eudaemon.protocols._broken import broken_off
from eudaemon.protocols._shell import Captured, left_in
from eudaemon.protocols.redis.attacks import dump, target_of
from eudaemon.protocols.redis.commands import COMMANDS
from eudaemon.protocols.redis.keys import FullError, Keys
from eudaemon.protocols.redis.lua import LuaError
from eudaemon.protocols.redis.resp import Failure, ProtocolError, Reply, RequestReader, encode
from eudaemon.protocols.redis.scripting import UNSCRIPTED
from eudaemon.protocols.redis.server import Server, server_of
from eudaemon.wire import PeerError, clipped, printable
from eudaemon.world.files import FileError, Files
from eudaemon.world.outside import Download, Downloaded
from eudaemon.world.shell.budget import Budget, LimitError

REQUESTS_MAX = 20_000  # of one session
NAME_BYTES_MAX = 64
KEPT_BYTES_MIN = 512  # of a value that is saved nowhere; what is smaller stands in the events
KEPT_MAX = 64  # of those
COMMAND_BYTES_MAX = 64 * 1024  # of what goes to the shell
_FACT_CHARS_MAX = 4096
_WORD_BYTES_MAX = 2048  # of one argument, in a fact
_ITS_OWN = frozenset(
    b"info config flushall flushdb save bgsave slaveof replicaof eval module dbsize select bgrewriteaof psync".split()
)
_OVER_HTTP = frozenset((b"post", b"host:"))  # a web page makes a browser speak: Redis hangs up (networking.c)


class Redis(Room):
    """One client's connection."""

    name: ClassVar[str] = "redis"

    __slots__ = (
        "_asked", "_budget", "_commands", "_files", "_leaving", "_over", "_reader", "_requests", "_server", "_settings",
        "_then", "client_name", "database", "keys", "master", "modules", "running", "scripts",
    )  # fmt: skip

    def __init__(self, visit: Visit) -> None:
        super().__init__(visit)
        self._server: Server | None = None
        self._reader = RequestReader(visit.purse)
        self._settings: dict[bytes, bytes] | None = None
        self._files: Files | None = None
        self._budget = Budget()
        self._asked: deque[Captured | bytes] = deque()  # who asked for each download: a command, or a path that waits
        self._commands: deque[bytes] = deque()  # for the shell, of the request that is being answered
        self._then: Callable[[bytes], Reply] = bytes
        self._requests = 0
        self._leaving = False
        self._over = False
        self.running: Captured | None = None
        self.keys = Keys(visit.purse)
        self.database = 0
        self.client_name = b""
        self.master = ""  # `host port` while it is a replica
        self.modules: list[bytes] = []
        self.scripts: dict[bytes, bytes] = {}  # that were loaded, by their SHA-1

    @classmethod
    def claim(cls, first: bytes) -> Claim:
        """An array of bulk strings is Redis; so is a command that no shell has, and other commands may be."""
        if first[:1] == b"*":
            head, _, rest = first.partition(b"\r\n")
            if not head[1:].isdigit() and head != b"*":
                return Claim.NO
            return Claim.UNSURE if not rest else Claim.YES if rest[:1] == b"$" else Claim.NO
        word, blank, _ = first.replace(b"\r", b" ").replace(b"\n", b" ").partition(b" ")
        if blank:
            if word.lower() not in COMMANDS or b" HTTP/" in first:
                return Claim.NO
            return Claim.YES if word.lower() in _ITS_OWN else Claim.UNSURE
        return Claim.UNSURE if any(name.startswith(word.lower()) for name in COMMANDS) else Claim.NO

    def tell(self, occasion: Occasion) -> Iterator[Order]:
        """Take one occasion and yield the orders that follow from it."""
        match occasion:
            case Received(at_s, data):
                if not self._over:
                    self._reader.feed(data)
                    yield from self._serve(at_s)
            case Answered(at_s):
                yield from self._answered(occasion)
                yield from self._serve(at_s)
            case HalfClosed():
                self._leaving = True
                yield from self._leave()
            case Ended(at_s):
                if self.keys.unsaved and self.changed:  # Redis would have saved by and by
                    yield from self.save(at_s)
                elif self.keys.unsaved:
                    yield from self._left()
                if self._files is not None:
                    yield from left_in(self._files, self.inside)
                if not self._over:
                    yield from broken_off(self._reader.held, "request")
            case Opened() | Woken():
                return

    # --- what commands ask ---------------------------------------------------------------------------

    @property
    def server(self) -> Server:
        """Who answers."""
        if self._server is None:
            self._server = server_of(self.visit.host)
        return self._server

    @property
    def inside(self) -> Visit:
        """The visit, with the host on which Redis runs."""
        return replace(self.visit, host=self.server.host)

    @property
    def files(self) -> Files:
        """What the session sees of that host's files."""
        if self._files is None:
            self._files = Files(self.server.host.tree, self.server.host.writable, self.visit.purse)
        return self._files

    @property
    def budget(self) -> Budget:
        """What the request may cost."""
        return self._budget

    @property
    def settings(self) -> dict[bytes, bytes]:
        """The configuration, as this session has changed it."""
        return self._settings or self.server.config

    def set(self, name: bytes, value: bytes) -> None:
        """Change the configuration. Raises `FullError`."""
        if not self.visit.purse.take(len(value)):
            raise FullError
        if self._settings is None:
            self._settings = dict(self.server.config)
        self._settings[name] = value

    @property
    def changed(self) -> bool:
        """Whether the dump goes where this session wants it."""
        return any(self.settings[name] != self.server.config[name] for name in (b"dir", b"dbfilename"))

    @property
    def place(self) -> bytes:
        """The path of the dump."""
        return self.settings[b"dir"].rstrip(b"/") + b"/" + self.settings[b"dbfilename"]

    def save(self, at_s: float) -> Iterator[Order]:
        """Write the dump: what is meant for somebody else than Redis is an artefact and an exploit."""
        self.keys.unsaved = 0
        values = [value for keys in self.keys.databases.values() for value in keys.values()]
        if not values:
            return
        data = dump(self.keys.databases, version=self.server.version, at_s=at_s)
        target = target_of(self.place)
        if target is not None:
            shown = b"\n".join(value.strip() for value in values)
            yield Saw(ExploitRecognised(target.exploit, "", printable(shown, _WORD_BYTES_MAX)))
        yield Keep(data, target.origin if target is not None else "upload", printable(self.place, 1024))
        self.write(self.place, Downloaded("", "ok", head=data, size=len(data)), at_s)

    def _left(self) -> Iterator[Order]:
        """Keep what lies in the database and was meant for something, had its sender gone on."""
        values = [(name, value) for keys in self.keys.databases.values() for name, value in keys.items()]
        for name, value in [pair for pair in values if len(pair[1]) >= KEPT_BYTES_MIN][:KEPT_MAX]:
            yield Keep(value, "upload", printable(name, 1024))

    def write(self, path: bytes, got: Downloaded, at_s: float) -> bool:
        """Put what is kept already at a path of the host; say whether there is a place."""
        try:
            file = self.files.create(self.files.resolve(path), at_s, 0o755)
            self.files.truncate(file)
            self.files.append(file, got.head, at_s)
        except FileError:
            return False
        file.kept = True
        file.missing = max(0, got.size - len(got.head))
        return True

    def replicate(self, host: bytes, port: bytes) -> Iterator[Order]:
        """Become the replica of somebody: fetch its database, which may be anything."""
        self.master = f"{printable(host, 256)} {printable(port, 8)}"
        name = self.settings[b"dbfilename"]
        where = f"[{host.decode('latin-1')}]" if b":" in host else host.decode("latin-1")
        yield Saw(ExploitRecognised("redis-rogue-master", "", self.master))
        self._asked.append(b"")
        yield Fetch(Download(f"redis://{where}:{port.decode('latin-1')}/", "slaveof", printable(name, 256)))

    def run(self, commands: list[bytes], then: Callable[[bytes], Reply], at_s: float) -> Iterator[Order]:
        """Give commands to the pretended shell; the reply is what `then` makes of all that they print."""
        self._commands.extend(command[:COMMAND_BYTES_MAX] for command in commands)
        self._then = then
        self.running = Captured(self.inside, self.files, self.settings[b"dir"])
        yield from self._run_on(at_s)

    def called(self, words: list[bytes], at_s: float) -> Reply:
        """Return the reply to a command that a script calls. Raises `LuaError`."""
        place = b"@user_script: 1: "
        name = words[0].lower()
        arity, step = COMMANDS.get(name, (0, None))
        if step is None:
            raise LuaError(place + b"Unknown Redis command called from Lua script", "redis")
        if len(words) < abs(arity) or (0 < arity != len(words)):
            raise LuaError(place + b"Wrong number of args calling Redis command From Lua script", "redis")
        answer = step(self, words, at_s) if name not in UNSCRIPTED else iter(())
        if isinstance(answer, Iterator):  # it is more than a reply
            raise LuaError(place + b"This Redis command is not allowed from scripts", "redis")
        return answer

    # --- the dialogue --------------------------------------------------------------------------------

    def _serve(self, at_s: float) -> Iterator[Order]:
        try:
            while self.running is None and not self._over and (request := self._reader.next()) is not None:
                yield from self._request(request, at_s)
            if self.running is not None:
                self._reader.held_back()
        except ProtocolError as error:
            yield Send(error.reply)
            raise
        yield from self._leave()

    def _request(self, request: list[bytes], at_s: float) -> Iterator[Order]:
        self._requests += 1
        if self._requests > REQUESTS_MAX:
            raise PeerError(f"more than {REQUESTS_MAX} requests in one session")
        name = request[0].lower()
        if name in _OVER_HTTP:
            yield from self._hang_up()
            return
        yield Saw(CommandEntered(_shown(request)))
        arity, step = COMMANDS.get(name, (-1, None))
        if step is None and name.endswith((b".exec", b".rev")) and self.modules:
            arity, step = COMMANDS[b"system" + name[name.rindex(b".") :]]
        if step is None:
            yield Send(encode(self.unknown(request)))
        elif len(request) < abs(arity) or (0 < arity != len(request)):
            yield Send(encode(Failure(b"ERR wrong number of arguments for '%s' command" % name)))
        else:
            self._budget.renew()
            try:
                answer = step(self, request, at_s)
                if isinstance(answer, Iterator):
                    yield from answer
                else:
                    yield Send(encode(answer))
            except FullError:
                yield Send(encode(Failure(b"OOM command not allowed when used memory > 'maxmemory'.")))
            except LimitError:
                yield Send(encode(Failure(b"BUSY Redis is busy running a script.")))
        if name in (b"quit", b"shutdown"):
            yield from self._hang_up()

    def unknown(self, request: list[bytes]) -> Failure:
        """Return what is said to a command that is none."""
        name = request[0][:128]
        words = b"".join(b"`%s`, " % word[:128] for word in request[1:9])
        return Failure(b"ERR unknown command `%s`, with args beginning with: %s" % (_line(name), _line(words)))

    def _answered(self, occasion: Answered) -> Iterator[Order]:
        asker = self._asked.popleft()
        got = occasion.downloaded
        if isinstance(asker, Captured):
            yield from self._of_shell(asker.answered(occasion))
            yield from self._run_on(occasion.at_s)
        elif got.outcome in ("ok", "partial"):
            self.write(self.place, got, occasion.at_s)

    def _run_on(self, at_s: float) -> Iterator[Order]:
        """Run the commands one after the other; when all have, answer."""
        shell = self.running
        while shell is not None and not shell.busy:
            if self._commands:
                yield from self._of_shell(shell.enter(self._commands.popleft(), at_s))
                continue
            self.running = None
            yield Send(encode(self._then(shell.printed)))
            shell.release()
            return

    def _of_shell(self, orders: Iterator[Order]) -> Iterator[Order]:
        for order in orders:
            if isinstance(order, Fetch) and self.running is not None:
                self._asked.append(self.running)
            yield order

    def _hang_up(self) -> Iterator[Order]:
        self._over = True
        yield HangUp()

    def _leave(self) -> Iterator[Order]:
        if self._leaving and self.running is None and not self._over and not self._asked:
            yield from self._hang_up()


def _shown(request: list[bytes]) -> str:
    """Return a request as a person would type it."""
    words = (printable(word, _WORD_BYTES_MAX) for word in request)
    quoted = (f'"{word}"' if not word or " " in word or "\n" in word else word for word in words)
    return clipped(" ".join(quoted), _FACT_CHARS_MAX)


def _line(text: bytes) -> bytes:
    return text.replace(b"\r", b" ").replace(b"\n", b" ")
