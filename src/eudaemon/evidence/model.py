"""The report of one alert: frozen values, which go through JSON and back unchanged.

Addresses are those of the process; offsets count bytes from the beginning of a stream; tags are bytes of bits, one bit
a stream (`Stream.label` is the number of the bit). Bytes are hexadecimal in JSON. What is larger than a window lies in
files beside the report, which `Blob` names.
"""

from __future__ import annotations

from dataclasses import dataclass

VERSION = 1

# Kinds of an alert, as a sentence that begins with what the thread was about to do.
WORDS = {
    "return": "it was about to return to an address that came from outside",
    "jump": "it was about to jump to an address that came from outside",
    "call": "it was about to call an address that came from outside",
    "code": "it was about to execute instructions that came from outside",
    "execute": "it was about to execute a program that was named from outside",
    "call number": "it was about to make a system call whose number came from outside",
    "rights": "it was about to make memory executable as it was told from outside",
    "format": "it was about to use a format string that came from outside",
    "store": "it was about to write to an address that came from outside",
}


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes that lie in a file of their own beside the report."""

    file: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Process:
    """Whose thread it was. `started_s` is seconds since 1970; 0 where unknown."""

    pid: int
    tid: int
    parent: int  # the possessed process that has forked it while possessed; 0: possessed itself
    name: str
    exe: str
    command: tuple[str, ...]
    uid: int
    started_s: float


@dataclass(frozen=True, slots=True)
class Window:
    """Some bytes of memory, and the tag of each: none where there is no shadow."""

    address: int
    data: bytes
    tags: bytes = b""

    @property
    def end(self) -> int:
        """The address behind it."""
        return self.address + len(self.data)


@dataclass(frozen=True, slots=True)
class Register:
    """A general register, and the tags of its 8 bytes, the least significant first."""

    name: str
    value: int
    tags: bytes


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction. `text` is empty where nothing disassembles."""

    address: int
    data: bytes
    text: str


@dataclass(frozen=True, slots=True)
class Stream:
    """One stream of input that tags come from. `input_at` is the stream's offset of the first byte that is kept."""

    label: int
    serial: int
    kind: str  # inet, unix, stdin, file
    descriptor: int
    inode: int
    local: str
    peer: str
    received: int  # bytes since it was first read while possessed
    input_at: int
    input: Blob | None
    transport: str = ""  # tcp, udp; "" where it is neither, or not known


@dataclass(frozen=True, slots=True)
class Culprit:
    """Bytes of a stream that are at work here.

    `role`: `value` (they are what took control), `code` (they would have been executed), or the register that points to
    them, where the value has been computed. `offset` is the first's in
    the stream; `address` is where they lie in memory, 0 if in registers alone. `core_at` and `core_size` tell which of
    them are the value itself. `certainty` is a sentence.
    """

    role: str
    label: int
    offset: int
    data: bytes
    address: int
    core_at: int
    core_size: int
    is_certain: bool
    certainty: str
    around: Window  # the input around it; the address is the stream's offset

    @property
    def lit(self) -> Window:
        """The input around it with a tag on each of the bytes."""
        before = min(max(self.offset - self.around.address, 0), len(self.around.data))  # whoever wrote the report
        tags = (bytes(before) + b"\1" * len(self.data)).ljust(len(self.around.data), b"\0")
        return Window(self.around.address, self.around.data, tags)

    @property
    def core(self) -> range:
        """Between which offsets of the stream the value itself lies."""
        return range(self.offset + self.core_at, self.offset + self.core_at + self.core_size)


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of the call stack, the innermost first. `how`: from `registers`, `cfi`, `rbp` or a `scan`."""

    address: int
    module: str
    offset: int  # in the module's file
    symbol: str  # `name+0x12`, or ""
    how: str


@dataclass(frozen=True, slots=True)
class Injected:
    """Tagged bytes where the thread would have gone on."""

    address: int
    code: Blob
    begin: Window  # its beginning
    listing: tuple[Instruction, ...]


@dataclass(frozen=True, slots=True)
class Area:
    """One mapping. `what`: the engine's own are marked `engine`."""

    begin: int
    end: int
    rights: str
    path: str


@dataclass(frozen=True, slots=True)
class Report:
    """All that is known of one alert."""

    version: int
    id: str  # `20261126T103000.123456Z-4711-1`: time, process, serial
    at_s: float  # since 1970, UTC
    kind: str
    verdict: str
    in_time: bool  # whether it waited for our verdict; if not, it has gone on by the policy meanwhile
    process: Process
    pc: int
    target: int
    place: int
    tags: bytes  # of the target's 8 bytes
    rflags: int
    instruction: Instruction
    code: tuple[Instruction, ...]  # around it
    registers: tuple[Register, ...]
    culprits: tuple[Culprit, ...]
    streams: tuple[Stream, ...]
    frames: tuple[Frame, ...]
    injected: Injected | None
    stack: Window
    place_window: Window | None
    maps: tuple[Area, ...]
    remarks: tuple[str, ...]

    @property
    def place_apart(self) -> Window | None:
        """What lies around the value's place, where that is not on the stack that is shown anyway."""
        is_shown = self.stack.address <= self.place < self.stack.end
        return None if is_shown else self.place_window

    @property
    def words(self) -> str:
        """What happened, as the rest of a sentence."""
        return WORDS.get(self.kind, f"an alert of kind {self.kind}")

    def stream(self, label: int) -> Stream | None:
        """Return the stream of a label."""
        return next((stream for stream in self.streams if stream.label == label), None)

    def blobs(self) -> list[Blob]:
        """Return what belongs into files beside it."""
        found = [stream.input for stream in self.streams if stream.input is not None]
        return [*found, self.injected.code] if self.injected else found


def labels_of(tags: bytes) -> tuple[int, ...]:
    """Return the labels that occur in tags, in order."""
    union = 0
    for tag in tags:
        union |= tag
    return tuple(bit for bit in range(8) if union >> bit & 1)


@dataclass(frozen=True, slots=True)
class Evidence:
    """A report with what belongs into files beside it, by file name."""

    report: Report
    files: dict[str, bytes]
