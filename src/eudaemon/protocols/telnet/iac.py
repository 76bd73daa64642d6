"""The telnet protocol's own commands, taken out of the stream by a table of states. RFC 854, RFC 855.

BusyBox's telnetd asks for its four options and answers nothing, whatever the client says; so do we, but for one
(`TIMING_MARK`). A storm of commands is not answered, and ends the session at a limit.
"""

from __future__ import annotations

from eudaemon.wire import PeerError

COMMANDS_MAX = 4096  # commands of one session
SUBNEGOTIATION_BYTES_MAX = 1024

IAC, DONT, DO, WONT, WILL, SB = 0xFF, 0xFE, 0xFD, 0xFC, 0xFB, 0xFA
EL, EC, INTERRUPT, BREAK, SE = 0xF8, 0xF7, 0xF4, 0xF3, 0xF0
ECHO, SUPPRESS_GO_AHEAD, NAWS, TIMING_MARK = 1, 3, 31, 6
# What telnetd sends first. Never begin with `ff fd 1f` and then something else than `ff`: by that scanners know a
# well-known honeypot.
OPENING = bytes((IAC, DO, ECHO, IAC, DO, NAWS, IAC, WILL, ECHO, IAC, WILL, SUPPRESS_GO_AHEAD))

# State: what has been read of a command.
TEXT, COMMAND, OPTION, DO_OPTION, INSIDE, INSIDE_COMMAND = range(6)
# (state, byte) -> state; what is not here goes by the state's own rule in `_DEFAULT`.
_TABLE = {
    (COMMAND, SB): INSIDE,
    (COMMAND, DO): DO_OPTION,
    (COMMAND, DONT): OPTION,
    (COMMAND, WILL): OPTION,
    (COMMAND, WONT): OPTION,
    (INSIDE, IAC): INSIDE_COMMAND,
    (INSIDE_COMMAND, SE): TEXT,
}
_DEFAULT = {COMMAND: TEXT, OPTION: TEXT, DO_OPTION: TEXT, INSIDE: INSIDE, INSIDE_COMMAND: INSIDE}
# Commands that stand for a key.
_KEYS = {INTERRUPT: b"\x03", BREAK: b"\x03", EC: b"\x7f", EL: b"\x15", IAC: b"\xff"}


class IacReader:
    """Takes bytes in any pieces, gives the text and what is to be answered."""

    __slots__ = ("_commands", "_inside_bytes", "_state")

    def __init__(self) -> None:
        self._state = TEXT
        self._commands = 0
        self._inside_bytes = 0

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """Return the text in the data, and the answer to its commands. Raises `PeerError` past a limit."""
        if self._state == TEXT and IAC not in data:
            return data, b""
        text = bytearray()
        answer = bytearray()
        at = 0
        while at < len(data):
            if self._state == TEXT:
                end = data.find(IAC, at)
                end = len(data) if end < 0 else end
                text += data[at:end]
                at = end
                if at < len(data):
                    self._state = COMMAND
                    self._count()
            else:
                byte = data[at]
                if self._state == COMMAND:
                    text += _KEYS.get(byte, b"")
                elif self._state == DO_OPTION and byte == TIMING_MARK:
                    # A client that interrupts throws output away until this is answered. RFC 860.
                    answer += bytes((IAC, WONT, TIMING_MARK))
                self._step(byte)
            at += 1
        return bytes(text), bytes(answer)

    def _step(self, byte: int) -> None:
        self._state = _TABLE.get((self._state, byte), _DEFAULT[self._state])
        if self._state == INSIDE:
            self._inside_bytes += 1
            if self._inside_bytes > SUBNEGOTIATION_BYTES_MAX:
                raise PeerError(f"telnet subnegotiation over {SUBNEGOTIATION_BYTES_MAX} bytes")
        elif self._state == TEXT:
            self._inside_bytes = 0

    def _count(self) -> None:
        self._commands += 1
        if self._commands > COMMANDS_MAX:
            raise PeerError(f"more than {COMMANDS_MAX} telnet commands")
