"""The pretended JVM: classes and methods by name, objects by number, and what calling a method gives.

    signature --> class (a number) --> methods (numbers) --> call --> value: a tag, and eight bytes or fewer

Owns the few classes that debuggers abused as a shell ask for; nothing is executed, and a class that a debugger
defines has the methods that such classes have.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from eudaemon.wire import PeerError, Purse
from eudaemon.world.host import Host

OBJECTS_MAX = 4096  # of one session
ARRAY_BYTES_MAX = 16 * 1024 * 1024
STRING_BYTES_MAX = 256 * 1024
_STRING, _OBJECT, _ARRAY, _CLASS = b"s", b"L", b"[", b"c"
_NULL = _OBJECT + bytes(8)
_PRIMITIVE_BYTES = {"V": 0, "Z": 1, "B": 1, "C": 2, "S": 2, "I": 4, "F": 4, "J": 8, "D": 8}

# What can be asked for: a class, and of each method its name and signature. Constructors come twice where nmap takes
# the second (`SecureClassLoader`).
CLASSES: dict[str, tuple[tuple[str, str], ...]] = {
    "Ljava/lang/Runtime;": (
        ("<init>", "()V"), ("getRuntime", "()Ljava/lang/Runtime;"), ("exit", "(I)V"),
        ("exec", "(Ljava/lang/String;)Ljava/lang/Process;"), ("exec", "([Ljava/lang/String;)Ljava/lang/Process;"),
        ("load", "(Ljava/lang/String;)V"), ("availableProcessors", "()I"), ("freeMemory", "()J"),
    ),
    "Ljava/lang/ProcessBuilder;": (
        ("<init>", "(Ljava/util/List;)V"), ("<init>", "([Ljava/lang/String;)V"),
        ("start", "()Ljava/lang/Process;"),
    ),
    "Ljava/lang/Process;": (
        ("<init>", "()V"), ("getInputStream", "()Ljava/io/InputStream;"), ("waitFor", "()I"), ("exitValue", "()I"),
        ("getErrorStream", "()Ljava/io/InputStream;"),
    ),
    "Ljava/io/InputStream;": (("<init>", "()V"), ("available", "()I"), ("close", "()V")),
    "Ljava/io/InputStreamReader;": (("<init>", "(Ljava/io/InputStream;)V"), ("close", "()V")),
    "Ljava/io/BufferedReader;": (
        ("<init>", "(Ljava/io/Reader;)V"), ("readLine", "()Ljava/lang/String;"), ("close", "()V"),
    ),
    "Ljava/util/Scanner;": (
        ("<init>", "(Ljava/io/InputStream;)V"), ("useDelimiter", "(Ljava/lang/String;)Ljava/util/Scanner;"),
        ("hasNext", "()Z"), ("next", "()Ljava/lang/String;"), ("nextLine", "()Ljava/lang/String;"),
    ),
    "Ljava/lang/System;": (
        ("<init>", "()V"), ("getProperty", "(Ljava/lang/String;)Ljava/lang/String;"),
        ("getenv", "(Ljava/lang/String;)Ljava/lang/String;"), ("load", "(Ljava/lang/String;)V"),
    ),
    "Ljava/lang/ClassLoader;": (
        ("<init>", "()V"), ("defineClass", "([BII)Ljava/lang/Class;"),
        ("defineClass", "(Ljava/lang/String;[BII)Ljava/lang/Class;"), ("resolveClass", "(Ljava/lang/Class;)V"),
        ("loadClass", "(Ljava/lang/String;)Ljava/lang/Class;"),
        ("getSystemClassLoader", "()Ljava/lang/ClassLoader;"),
    ),
    "Ljava/security/SecureClassLoader;": (("<init>", "(Ljava/lang/ClassLoader;)V"), ("<init>", "()V")),
    "Ljava/net/URLClassLoader;": (
        ("<init>", "([Ljava/net/URL;)V"), ("findClass", "(Ljava/lang/String;)Ljava/lang/Class;"),
    ),
    "Ljava/net/URL;": (("<init>", "(Ljava/lang/String;)V"), ("openStream", "()Ljava/io/InputStream;")),
    "Ljava/lang/Class;": (
        ("forName", "(Ljava/lang/String;)Ljava/lang/Class;"), ("newInstance", "()Ljava/lang/Object;"),
        ("getMethods", "()[Ljava/lang/reflect/Method;"), ("getName", "()Ljava/lang/String;"),
    ),
    "Ljava/io/FileOutputStream;": (
        ("<init>", "(Ljava/lang/String;)V"), ("write", "([B)V"), ("write", "([BII)V"), ("close", "()V"),
    ),
    "Ljava/io/File;": (("<init>", "(Ljava/lang/String;)V"), ("exists", "()Z"), ("delete", "()Z")),
    "Ljava/lang/String;": (
        ("<init>", "([B)V"), ("length", "()I"), ("indexOf", "(I)I"), ("equals", "(Ljava/lang/Object;)Z"),
        ("getBytes", "()[B"), ("hashCode", "()I"), ("charAt", "(I)C"),
    ),
    "Ljava/lang/Object;": (("<init>", "()V"), ("hashCode", "()I"), ("toString", "()Ljava/lang/String;")),
    "Ljava/lang/Thread;": (
        ("<init>", "()V"), ("run", "()V"), ("sleep", "(J)V"), ("currentThread", "()Ljava/lang/Thread;"),
    ),
    "Ljava/net/ServerSocket;": (("<init>", "(I)V"), ("accept", "()Ljava/net/Socket;"), ("close", "()V")),
    "Ljava/net/Socket;": (("<init>", "()V"), ("getInputStream", "()Ljava/io/InputStream;")),
    "Ljava/util/HashMap;": (("<init>", "()V"), ("get", "(Ljava/lang/Object;)Ljava/lang/Object;")),
    "Ljava/util/ArrayList;": (("<init>", "()V"), ("add", "(Ljava/lang/Object;)Z"), ("size", "()I")),
    "Ljavax/servlet/http/HttpServlet;": (
        ("service", "(Ljavax/servlet/ServletRequest;Ljavax/servlet/ServletResponse;)V"),
    ),
    "[B": (), "[C": (), "[Ljava/lang/String;": (), "[Ljava/lang/Object;": (),
}  # fmt: skip
# Of a class that a debugger has brought.
DEFINED = (("<init>", "()V"), ("run", "(Ljava/lang/String;)Ljava/lang/String;"), ("main", "([Ljava/lang/String;)V"),
           ("exec", "(Ljava/lang/String;)Ljava/lang/String;"))  # fmt: skip
DEFINED_NAME = "LDefined;"
_ALL = [(signature, *method) for signature, methods in {**CLASSES, DEFINED_NAME: DEFINED}.items() for method in methods]
_FIRST_CLASS, _FIRST_THREAD, _FIRST_OBJECT = 0x100, 0x40, 0x1000
_JVMS = (  # version, what a method's number takes, system
    ("1.8.0_181", "25.181-b13", 8), ("1.8.0_212", "25.212-b04", 8), ("1.8.0_292", "25.292-b10", 8),
    ("11.0.11", "11.0.11+9", 8), ("1.7.0_80", "24.80-b11", 8), ("1.6.0_45", "20.45-b01", 4),
)  # fmt: skip
THREADS = (("main", 1), ("Reference Handler", 4), ("Finalizer", 4), ("Signal Dispatcher", 1), ("Attach Listener", 1),
           ("http-nio-8080-exec-1", 4), ("http-nio-8080-Acceptor-0", 1), ("ContainerBackgroundProcessor", 2),
           ("Catalina-utility-1", 4), ("scheduling-1", 2))  # fmt: skip


@dataclass
class Array:
    """Bytes of an array; of one of objects, their numbers. `filled` is how far it was written."""

    signature: str
    data: bytearray
    filled: int = 0

    @property
    def item_bytes(self) -> int:
        """How many bytes an item takes."""
        return 1 if self.signature == "[B" else 8


@dataclass
class Machine:
    """One session's view of the JVM."""

    host: Host
    purse: Purse
    strings: dict[int, bytes] = field(default_factory=dict)
    arrays: dict[int, Array] = field(default_factory=dict)
    objects: dict[int, str] = field(default_factory=dict)  # every other object, with its class's signature
    _classes: dict[int, str] = field(default_factory=dict)
    _next: int = _FIRST_OBJECT

    def __post_init__(self) -> None:
        seed = self.host.seed.child("jdwp")
        self.version, self.build, self.method_bytes = seed.choice("jvm", _JVMS)
        first = _FIRST_CLASS + seed.number("first class", 3000)
        self._classes = {first + at: signature for at, signature in enumerate(CLASSES)}
        self.name = "Java HotSpot(TM) 64-Bit Server VM" if self.method_bytes == 8 else "Java HotSpot(TM) Server VM"
        self._first_method = 1 + (seed.number("first method", 1 << 20) << 3)
        self._next += seed.number("first object", 1 << 16)
        count = 4 + seed.number("threads", len(THREADS) - 3)
        self.threads = {
            _FIRST_THREAD + at: thread for at, thread in enumerate((*THREADS[: count - 1], THREADS[-1]))
        }  # fmt: skip

    # --- classes and methods ------------------------------------------------------------------------

    def classes(self) -> dict[int, str]:
        """Return all classes, by number."""
        return self._classes

    def class_of(self, signature: str) -> int:
        """Return a class's number, 0 if there is none."""
        return next((number for number, known in self._classes.items() if known == signature), 0)

    def methods(self, signature: str) -> list[tuple[int, str, str]]:
        """Return a class's methods: number, name, signature."""
        name = signature if signature in CLASSES else DEFINED_NAME
        return [(self._first_method + 8 * at, *method[1:]) for at, method in enumerate(_ALL) if method[0] == name]

    def method(self, number: int) -> tuple[str, str, str] | None:
        """Return the class, name and signature of a method."""
        at, rest = divmod(number - self._first_method, 8)
        return _ALL[at] if not rest and 0 <= at < len(_ALL) else None

    def define(self) -> int:
        """Return the number of a class that was brought."""
        number = self._number()
        self._classes = {**self._classes, number: DEFINED_NAME}
        return number

    # --- objects ------------------------------------------------------------------------------------

    def _number(self) -> int:
        self._next += 1
        if len(self.strings) + len(self.arrays) + len(self.objects) + len(self._classes) >= OBJECTS_MAX:
            raise PeerError(f"more than {OBJECTS_MAX} objects in one session")
        return self._next

    def _pay(self, count: int) -> None:
        if not self.purse.take(count):
            raise PeerError("the session holds too many bytes")

    def string(self, text: bytes) -> int:
        """Make a string; return its number."""
        if len(text) > STRING_BYTES_MAX:
            raise PeerError(f"a string over {STRING_BYTES_MAX} bytes")
        self._pay(len(text) + 64)
        number = self._number()
        self.strings[number] = text
        return number

    def array(self, signature: str, length: int) -> int:
        """Make an array; return its number."""
        size = length * (1 if signature == "[B" else 8)
        if size > ARRAY_BYTES_MAX:
            raise PeerError(f"an array over {ARRAY_BYTES_MAX} bytes")
        self._pay(size + 64)
        number = self._number()
        self.arrays[number] = Array(signature, bytearray(size))
        return number

    def thing(self, signature: str) -> int:
        """Make any other object; return its number."""
        self._pay(64)
        number = self._number()
        self.objects[number] = signature
        return number

    def signature_of(self, number: int) -> str:
        """Return an object's class; empty if there is no such object."""
        if number in self.strings:
            return "Ljava/lang/String;"
        if number in self.arrays:
            return self.arrays[number].signature
        if number in self.threads:
            return "Ljava/lang/Thread;"
        return "Ljava/lang/Class;" if number in self._classes else self.objects.get(number, "")

    def words(self, number: int) -> list[bytes]:
        """Return the strings of an array, or one string as a list."""
        if number in self.strings:
            return [self.strings[number]]
        data = self.arrays[number].data if number in self.arrays else b""
        members = (int.from_bytes(data[at : at + 8], "big") for at in range(0, min(len(data), 2048), 8))
        return [self.strings[member] for member in members if member in self.strings]

    # --- values -------------------------------------------------------------------------------------

    def text(self, text: bytes) -> bytes:
        """Return the value that a new string is."""
        return _STRING + self.string(text).to_bytes(8, "big")

    def returned(self, signature: str) -> bytes:
        """Return a value of the type that a method of this signature returns."""
        kind = signature.partition(")")[2]
        if kind in _PRIMITIVE_BYTES:
            return kind.encode() + bytes(_PRIMITIVE_BYTES[kind])
        if kind == "Ljava/lang/String;":
            return self.text(b"")
        if kind == "Ljava/lang/Class;":
            return _CLASS + self.class_of("Ljava/lang/Object;").to_bytes(8, "big")
        if kind.startswith("["):
            return _ARRAY + self.array(kind, 0).to_bytes(8, "big")
        return _OBJECT + self.thing(kind).to_bytes(8, "big")

    def property(self, name: bytes) -> bytes:
        """Return the value of a property of the system's."""
        value = {
            b"java.version": self.version, b"java.vm.version": self.build, b"os.name": "Linux",
            b"os.version": self.host.kernel, b"os.arch": "amd64" if self.method_bytes == 8 else "i386",
            b"user.name": "root", b"user.home": "/root", b"user.dir": "/", b"file.separator": "/",
            b"file.encoding": "UTF-8", b"java.vendor": "Oracle Corporation", b"path.separator": ":",
        }.get(name)  # fmt: skip
        return _NULL if value is None else self.text(value.encode())
