"""Jenkins' command line over HTTP (jenkins/core, PlainCLIProtocol): frames of size, operation and content.

    client: ARG 0   LOCALE 1   ENCODING 2   START 3   STDIN 5   END_STDIN 6        server: EXIT 4   STDOUT 7   STDERR 8

An argument that begins with `@` stands for the lines of a file, whoever asks (CVE-2024-23897): of the pretended host's,
here, and it shows what they are by complaining about them, as the product does.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from eudaemon.wire import PeerError

FRAMES_MAX = 256
ARGUMENTS_MAX = 64
LINES_MAX = 64  # of a file that stands for arguments
_ARG, _EXIT, _STDIN, _STDOUT, _STDERR = 0, 4, 5, 7, 8


@dataclass(slots=True)
class Asked:
    """What a client wants run."""

    arguments: list[bytes] = field(default_factory=list)
    given: bytes = b""  # its standard input

    @property
    def name(self) -> bytes:
        """The command."""
        return self.arguments[0] if self.arguments else b""

    @property
    def file(self) -> bytes:
        """The path of a file that is to stand for arguments."""
        return next((argument[1:] for argument in self.arguments[1:] if argument.startswith(b"@")), b"")

    def line(self) -> bytes:
        """Return it as it would be typed."""
        return b" ".join(self.arguments)


def asked_by(body: bytes) -> Asked:
    """Read what a client has sent. Raises `PeerError` if it is not in frames."""
    asked, at = Asked(), 0
    for _ in range(FRAMES_MAX):
        if at + 5 > len(body):
            return asked
        size, operation = int.from_bytes(body[at : at + 4], "big"), body[at + 4]
        content = body[at + 5 : at + 5 + size]
        at += 5 + size
        if operation == _ARG and len(asked.arguments) < ARGUMENTS_MAX:
            asked.arguments.append(content[2:])  # behind its size once more
        elif operation == _STDIN:
            asked.given += content
    raise PeerError(f"more than {FRAMES_MAX} frames")


def told(output: bytes, error: bytes, status: int) -> bytes:
    """Return what a server sends to the side that listens: a zero, then frames."""
    frames = ((_STDOUT, output), (_STDERR, error), (_EXIT, status.to_bytes(4, "big")))
    sent = (len(content).to_bytes(4, "big") + bytes((kind,)) + content for kind, content in frames if content)
    return b"\0" + b"".join(sent)


def complained(asked: Asked, content: bytes | None) -> bytes:
    """Return how a command complains of what a file has put in the place of its arguments (args4j)."""
    if content is None:
        return b"\nERROR: No such file: %s\n" % asked.file
    lines = content.splitlines()[:LINES_MAX]
    if asked.name in (b"connect-node", b"delete-node", b"delete-job", b"reload-job", b"offline-node", b"online-node"):
        what = b"job" if b"job" in asked.name else b"agent"
        complaints = (b'%s: No such %s "%s" exists.\n' % (line, what, line) for line in lines)
        return (
            b"".join(complaints)
            + b"\nERROR: Error occurred while performing this command, see previous stderr output.\n"
        )
    takes = 0 if asked.name in (b"who-am-i", b"version", b"session-id") else 1
    if len(lines) <= takes:
        return b"\nERROR: No such command %s. Available commands are above. \n" % b" ".join(lines)
    usage = b"java -jar jenkins-cli.jar %s%s" % (asked.name, b"" if not takes else b" [COMMAND]")
    return b"\nERROR: Too many arguments: %s\n%s\n" % (lines[takes], usage)
