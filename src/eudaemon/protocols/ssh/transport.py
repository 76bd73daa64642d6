"""The transport layer, the server's side: identification, key exchange, packets. RFC 4253; RFC 8308; strict exchange.

    bytes in --> Transport.receive --> messages of the layers above (as bytes) and facts
    messages --> Transport.send    --> Transport.take: bytes out

What is secret is drawn from the session's seed. A client may exchange keys again whenever it likes; what the layers
above send meanwhile waits.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from typing import ClassVar

from eudaemon.events.catalogue import SshClientIdentified
from eudaemon.protocols._base import Saw
from eudaemon.protocols.ssh import fields
from eudaemon.protocols.ssh.agreement import METHODS, Agreed, group_for, in_group
from eudaemon.protocols.ssh.fields import Fields, integer, message, names, number, string
from eudaemon.protocols.ssh.keys import HostKeys
from eudaemon.protocols.ssh.packets import PADDING_BYTES, Opener, Sealer
from eudaemon.protocols.ssh.primitives import ALONE, make_suite
from eudaemon.protocols.ssh.products import MARKERS, STRICT, Product
from eudaemon.wire import PeerError, Purse, printable
from eudaemon.world.seed import Seed

_IDENTIFICATION = re.compile(rb"SSH-\d+\.\d+-.")  # of any version, as OpenSSH reads it
IDENTIFICATION_BYTES_MAX = 255  # RFC 4253, 4.2
EXCHANGES_MAX = 256  # of keys, in one session
IDLE_MESSAGES_MAX = 4096  # of those that say nothing, or that nobody understands
_NAMES_CHARS_MAX = 2048  # of a list, in a fact
_STRICT_CLIENT = "kex-strict-c-v00@openssh.com"

_IDLE = frozenset((fields.IGNORE, fields.DEBUG, fields.UNIMPLEMENTED, fields.EXT_INFO))

IDENTIFYING, BEGINNING, AGREEING, IN_GROUP, CHANGING, RUNNING = range(6)


class Transport:
    """One connection."""

    __slots__ = (
        "_chosen",
        "_client",
        "_exchanges",
        "_extends",
        "_hash",
        "_held_bytes",
        "_idle",
        "_ignores_guess",
        "_keys",
        "_line",
        "_logged_in",
        "_opener",
        "_ours",
        "_out",
        "_prime",
        "_purse",
        "_sealer",
        "_secret",
        "_seed",
        "_server",
        "_sizes",
        "_stage",
        "_strict",
        "_theirs",
        "_waiting",
        "product",
        "session_id",
    )

    def __init__(self, product: Product, keys: HostKeys, seed: Seed, purse: Purse) -> None:
        self.product = product
        self.session_id = b""
        self._keys = keys
        self._seed = seed
        self._purse = purse
        self._held_bytes = 0
        self._stage = IDENTIFYING
        self._line = b""
        self._client = b""
        self._server = b"SSH-2.0-" + product.software.encode()
        self._sealer = Sealer(seed.bytes("padding", PADDING_BYTES), clear_padding=product.clear_padding)
        self._opener = Opener()
        self._out = bytearray()
        self._waiting: list[bytes] = []
        self._exchanges = self._idle = 0
        self._strict = self._extends = self._ignores_guess = False
        self._ours = self._theirs = b""  # the KEXINIT of either side
        self._chosen: dict[str, str] = {}
        self._sizes: tuple[int, int, int] | None = None
        self._prime = 0
        self._secret = self._hash = b""
        self._logged_in = False

    @property
    def may_send(self) -> bool:
        """Whether what the layers above send is sent at once."""
        return self._stage == RUNNING

    def open(self) -> None:
        """Say who we are."""
        self._out += self._server + b"\r\n"
        if self.product.hasty:
            self._send_kexinit()

    def take(self) -> bytes:
        """Return what is to be sent."""
        data = bytes(self._out)
        self._out.clear()
        return data

    def send(self, payload: bytes) -> None:
        """Send a message of a layer above."""
        if self._stage == RUNNING:
            self._out += self._sealer.seal(payload)
        else:
            self._waiting.append(payload)

    def compress(self) -> None:
        """Somebody has logged in: begin with what was put off until then."""
        self._logged_in = True
        self._compress_out()
        self._compress_in()

    def _compress_out(self) -> None:
        """Begin anew, as after each exchange of keys. RFC 4253, 6.2."""
        if self._logged_in and self._chosen["compression out"] != "none":
            self._sealer.compress()

    def _compress_in(self) -> None:
        if self._logged_in and self._chosen["compression in"] != "none":
            self._opener.decompress()

    def disconnect(self, reason: int, words: bytes) -> None:
        """Say goodbye."""
        self._out += self._sealer.seal(message(fields.DISCONNECT, number(reason), string(words), string(b"")))

    # --- bytes -------------------------------------------------------------------------------------

    def receive(self, data: bytes) -> Iterator[Saw | bytes]:
        """Yield facts, and the messages that are for the layers above. Raises `PeerError`."""
        if self._stage == IDENTIFYING:
            data = self._identify(data)
            if self._stage == IDENTIFYING:
                return
        self._opener.feed(data)
        while (payload := self._opener.next()) is not None:
            yield from self._hear(payload)
        self._hold(self._opener.held_bytes)

    def _identify(self, data: bytes) -> bytes:
        """Return what follows the client's identification."""
        line, end, rest = (self._line + data).partition(b"\n")
        if len(line) > IDENTIFICATION_BYTES_MAX:
            raise PeerError(f"an SSH identification over {IDENTIFICATION_BYTES_MAX} bytes")
        if not end:
            self._line = line
            self._hold(len(line))
            return b""
        self._line, self._client = b"", line.removesuffix(b"\r")
        if not self._client.startswith((b"SSH-2.0-", b"SSH-1.99-")):
            is_ssh = _IDENTIFICATION.match(self._client)
            self._out += self.product.too_old if is_ssh else self.product.mismatch
            raise PeerError("does not identify itself as SSH 2")
        self._stage = BEGINNING
        if not self.product.hasty:
            self._send_kexinit()
        return rest

    def _hold(self, count: int) -> None:
        if count > self._held_bytes:
            if not self._purse.take(count - self._held_bytes):
                raise PeerError("the session holds too many bytes")
        else:
            self._purse.give_back(self._held_bytes - count)
        self._held_bytes = count

    # --- messages ----------------------------------------------------------------------------------

    def _hear(self, payload: bytes) -> Iterator[Saw | bytes]:
        kind = payload[0]
        first_exchange = not self.session_id
        if kind in _IDLE:
            if self._strict and first_exchange:
                raise PeerError(f"SSH message {kind} within a strict key exchange")
            self._count_idle()
        elif kind == fields.DISCONNECT or (kind > fields.KEX_LAST or kind == fields.SERVICE_REQUEST):
            if self._stage != RUNNING and kind != fields.DISCONNECT:
                raise PeerError(f"SSH message {kind} before there are keys")
            yield payload
        elif kind == fields.KEXINIT and self._stage in (BEGINNING, RUNNING):
            yield from self._begin(payload)
        elif self._stage == AGREEING and self._ignores_guess and kind >= fields.KEX_FIRST:
            self._ignores_guess = False
        else:
            handler = self._HANDLERS.get((self._stage, kind))
            if handler is None:
                raise PeerError(f"SSH message {kind} out of its turn")
            handler(self, Fields(payload, 1))

    def unknown(self) -> None:
        """The last message is one that nobody understands: say so. RFC 4253, 11.4."""
        self._count_idle()
        self.send(message(fields.UNIMPLEMENTED, number((self._opener.sequence - 1) % 2**32)))

    def _count_idle(self) -> None:
        self._idle += 1
        if self._idle > IDLE_MESSAGES_MAX:
            raise PeerError(f"more than {IDLE_MESSAGES_MAX} SSH messages that say nothing")

    # --- key exchange ------------------------------------------------------------------------------

    def _send_kexinit(self) -> None:
        product = self.product
        both = (product.ciphers, product.macs, product.compression)
        self._ours = message(
            fields.KEXINIT, self._seed.bytes(f"cookie {self._exchanges}", 16), names(product.kex),
            names(product.host_keys[0]), *(names(listed) for listed in both for _ in range(2)),
            string(b""), string(b""), b"\0", number(0),
        )  # fmt: skip
        self._out += self._sealer.seal(self._ours)

    def _begin(self, payload: bytes) -> Iterator[Saw]:
        """Both say what they can; the first of the client's names that is also ours is taken. RFC 4253, 7.1."""
        self._exchanges += 1
        if self._exchanges > EXCHANGES_MAX:
            raise PeerError(f"more than {EXCHANGES_MAX} key exchanges")
        if self._stage == RUNNING:
            self._send_kexinit()
        read = Fields(payload, 17)
        lists = [read.names() for _ in range(10)]
        follows = read.flag()
        read.number()
        if not self.session_id:
            yield self._seen(lists)
            self._strict = _STRICT_CLIENT in lists[0] and STRICT in self.product.kex
            self._extends = "ext-info-c" in lists[0]
            if self._strict and self._opener.sequence != 1:
                raise PeerError("a strict key exchange that does not begin with its first message")
        self._theirs = payload
        self._choose(lists)
        self._ignores_guess = follows and (
            lists[0][:1] != self.product.kex[:1] or lists[1][:1] != self.product.host_keys[0][:1]
        )
        self._stage = AGREEING

    def _seen(self, lists: list[tuple[str, ...]]) -> Saw:
        """State who the client is. HASSH: github.com/salesforce/hassh."""
        kex, host_keys, ciphers, _, macs, _, compression = (",".join(listed) for listed in lists[:7])
        algorithms = f"{kex};{ciphers};{macs};{compression}"
        hassh = hashlib.md5(algorithms.encode("latin-1"), usedforsecurity=False).hexdigest()
        shown = (printable(text.encode("latin-1"), _NAMES_CHARS_MAX) for text in (algorithms, host_keys))
        return Saw(SshClientIdentified(printable(self._client, IDENTIFICATION_BYTES_MAX), hassh, *shown))

    def _choose(self, lists: list[tuple[str, ...]]) -> None:
        product = self.product
        ours = (product.kex, product.host_keys[0], product.ciphers, product.ciphers, product.macs, product.macs,
                product.compression, product.compression)  # fmt: skip
        what = ("key exchange", "host key", "cipher in", "cipher out", "MAC in", "MAC out", "compression in",
                "compression out")  # fmt: skip
        for name, theirs, known in zip(what, lists, ours, strict=False):
            if name.startswith("MAC") and self._chosen["cipher" + name[3:]] in ALONE:
                self._chosen[name] = ""
                continue
            found = next((known[known.index(each)] for each in theirs if each in known and each not in MARKERS), None)
            if found is None:
                raise PeerError(f"no {name.split(' ')[0] if 'key' not in name else name} that both sides know")
            self._chosen[name] = found

    def _agree(self, read: Fields) -> None:
        method = METHODS[self._chosen["key exchange"]]
        if method.agree is None:
            raise PeerError("a key exchange that begins in its middle")
        self._reply(31, method.agree(read.string(), self._drawn()), b"")

    def _ask_group(self, read: Fields) -> None:
        """The client says which size of group it wants. RFC 4419, 3."""
        if METHODS[self._chosen["key exchange"]].agree is not None:
            raise PeerError("asks for a group where there is none to choose")
        self._sizes = (read.number(), read.number(), read.number())
        self._prime = group_for(*self._sizes)
        self._out += self._sealer.seal(message(31, integer(self._prime), integer(2)))
        self._stage = IN_GROUP

    def _agree_in_group(self, read: Fields) -> None:
        if self._sizes is None:
            raise PeerError("a key exchange that begins in its middle")
        asked = b"".join(map(number, self._sizes)) + integer(self._prime) + integer(2)
        self._reply(33, in_group(read.string(), self._prime, self._drawn()), asked)

    def _drawn(self) -> Seed:
        return self._seed.child(f"exchange {self._exchanges}")

    def _reply(self, kind: int, agreed: Agreed, asked: bytes) -> None:
        """Prove who we are, and change to the new keys. RFC 4253, 7.2 and 8."""
        digest = METHODS[self._chosen["key exchange"]].hash
        algorithm = self._chosen["host key"]
        public = self._keys.public(algorithm)
        said = (self._client, self._server, self._theirs, self._ours, public)
        self._hash = digest(b"".join(map(string, said)) + asked + agreed.theirs + agreed.ours + agreed.secret).digest()
        self._secret = agreed.secret
        first = not self.session_id
        self.session_id = self.session_id or self._hash
        signature = self._keys.sign(algorithm, self._hash)
        self._out += self._sealer.seal(message(kind, string(public), agreed.ours, string(signature)))
        self._out += self._sealer.seal(message(fields.NEWKEYS))
        suite = make_suite(self._chosen["cipher out"], self._chosen["MAC out"], self._derive, b"BDF", sending=True)
        self._sealer.change(suite, anew=self._strict)
        self._compress_out()
        if first and self._extends and self.product.signatures:
            listed = names(self.product.signatures)
            self._out += self._sealer.seal(message(fields.EXT_INFO, number(1), string(b"server-sig-algs"), listed))
        self._stage = CHANGING

    def _change(self, read: Fields) -> None:  # noqa: ARG002
        suite = make_suite(self._chosen["cipher in"], self._chosen["MAC in"], self._derive, b"ACE", sending=False)
        self._opener.change(suite, anew=self._strict)
        self._compress_in()
        self._ours = self._theirs = self._secret = self._hash = b""  # thousands of sessions are held
        self._stage = RUNNING
        waiting, self._waiting = self._waiting, []
        for payload in waiting:
            self.send(payload)

    def _derive(self, letter: bytes, count: int) -> bytes:
        digest = METHODS[self._chosen["key exchange"]].hash
        start = self._secret + self._hash
        found = digest(start + letter + self.session_id).digest()
        while len(found) < count:
            found += digest(start + found).digest()
        return found[:count]

    _HANDLERS: ClassVar[dict[tuple[int, int], Callable[[Transport, Fields], None]]] = {
        (AGREEING, 30): _agree,
        (AGREEING, 34): _ask_group,
        (IN_GROUP, 32): _agree_in_group,
        (CHANGING, fields.NEWKEYS): _change,
    }
