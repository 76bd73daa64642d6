"""Which mail servers there are, and what each says. One is drawn for an installation."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from eudaemon.world.host import Host
from eudaemon.world.seed import Seed


@dataclass(frozen=True, slots=True)
class Product:
    """A mail server. `{name}`, `{version}`, `{date}`, `{peer}`, `{id}` and `{what}` are filled in where they stand."""

    versions: tuple[str, ...]
    banner: str
    hello: str  # the first line of the answer to EHLO, and all of HELO's
    extensions: tuple[str, ...]  # STARTTLS and AUTH come on top
    says: dict[str, str]


_EXIM = Product(
    ("4.84", "4.86_2", "4.87", "4.88", "4.89", "4.90_1", "4.91"),
    "{name} ESMTP Exim {version} {date}",
    "{name} Hello {what} [{peer}]",
    ("SIZE 52428800", "8BITMIME", "PIPELINING", "HELP"),
    {
        "mail": "250 OK", "rcpt": "250 Accepted", "data": '354 Enter message, ending with "." on a line by itself',
        "taken": "250 OK id={id}", "bye": "221 {name} closing connection", "ok": "250 OK", "reset": "250 Reset OK",
        "unknown": "500 unrecognized command", "order": "503 sender not yet given", "syntax": "501 {what}",
        "no rcpt": "503-All RCPT commands were rejected with this error:\r\n503 Valid RCPT command must precede DATA",
        "vrfy": "252 Administrative prohibition", "no user": "252 Administrative prohibition",
        "expn": "550 Administrative prohibition", "large": "552 Message size exceeds maximum permitted",
        "help": "214-Commands supported:\r\n214 AUTH STARTTLS HELO EHLO MAIL RCPT DATA NOOP QUIT RSET HELP",
        "in": "235 Authentication succeeded", "no": "535 Incorrect authentication data", "tls": "220 TLS go ahead",
        "method": "504 {what} authentication mechanism not supported", "base64": "501 Invalid base64 data",
        "cancelled": "501 Authentication cancelled", "twice": "503 already authenticated",
        "many": "452 too many recipients",
    },
)  # fmt: skip
_POSTFIX = Product(
    ("",),
    "{name} ESMTP Postfix",
    "{name}",
    ("PIPELINING", "SIZE 52428800", "VRFY", "ETRN", "ENHANCEDSTATUSCODES", "8BITMIME", "DSN"),
    {
        "mail": "250 2.1.0 Ok", "rcpt": "250 2.1.5 Ok", "data": "354 End data with <CR><LF>.<CR><LF>",
        "taken": "250 2.0.0 Ok: queued as {id}", "bye": "221 2.0.0 Bye", "ok": "250 2.0.0 Ok", "reset": "250 2.0.0 Ok",
        "unknown": "502 5.5.2 Error: command not recognized", "order": "503 5.5.1 Error: need MAIL command",
        "syntax": "501 5.5.4 Syntax: {what}", "no rcpt": "554 5.5.1 Error: no valid recipients",
        "vrfy": "252 2.0.0 {what}",
        "no user": "550 5.1.1 <{what}>: Recipient address rejected: User unknown in local recipient table",
        "expn": "502 5.5.2 Error: command not recognized", "large": "552 5.3.4 Error: message file too big",
        "help": "502 5.5.2 Error: command not recognized",
        "in": "235 2.7.0 Authentication successful", "no": "535 5.7.8 Error: authentication failed: UGFzc3dvcmQ6",
        "tls": "220 2.0.0 Ready to start TLS", "method": "535 5.7.8 Error: authentication failed: Invalid "
        "authentication mechanism", "base64": "535 5.7.8 Error: authentication failed: Invalid base64 data",
        "cancelled": "501 5.7.0 Authentication aborted", "twice": "503 5.5.1 Error: already authenticated",
        "many": "452 4.5.3 Error: too many recipients",
    },
)  # fmt: skip
_SENDMAIL = Product(
    ("8.13.8", "8.14.3", "8.14.4", "8.14.7", "8.15.2"),
    "{name} ESMTP Sendmail {version}/{version}; {date}",
    "{name} Hello [{peer}], pleased to meet you",
    ("ENHANCEDSTATUSCODES", "PIPELINING", "EXPN", "VERB", "8BITMIME", "SIZE 52428800", "DSN", "ETRN", "DELIVERBY",
     "HELP"),
    {
        "mail": "250 2.1.0 {what}... Sender ok", "rcpt": "250 2.1.5 {what}... Recipient ok",
        "data": '354 Enter mail, end with "." on a line by itself',
        "taken": "250 2.0.0 {id} Message accepted for delivery", "bye": "221 2.0.0 {name} closing connection",
        "ok": "250 2.0.0 OK", "reset": "250 2.0.0 Reset state", "unknown": '500 5.5.1 Command unrecognized: "{what}"',
        "order": "503 5.0.0 Need MAIL before RCPT", "syntax": "501 5.5.4 Syntax error in parameters scanning {what}",
        "no rcpt": "503 5.0.0 Need RCPT (recipient)", "no mail": "503 5.0.0 Need MAIL command",
        "vrfy": "250 2.1.5 <{what}@{name}>",
        "no user": "550 5.1.1 {what}... User unknown", "expn": "250 2.1.5 <{what}@{name}>",
        "large": "552 5.2.3 Message size exceeds fixed maximum message size",
        "help": "214-2.0.0 This is sendmail\r\n214-2.0.0 Topics:\r\n214-2.0.0 \tHELO\tEHLO\tMAIL\tRCPT\tDATA\r\n"
        "214-2.0.0 \tRSET\tNOOP\tQUIT\tHELP\tVRFY\r\n214 2.0.0 End of HELP info",
        "in": "235 2.0.0 OK Authenticated", "no": "535 5.7.0 authentication failed",
        "tls": "220 2.0.0 Ready to start TLS", "method": "504 5.3.3 AUTH mechanism {what} not available",
        "base64": "501 5.5.4 cannot decode AUTH parameter", "cancelled": "501 5.0.0 AUTH aborted",
        "twice": "503 5.5.0 Already Authenticated", "many": "452 4.5.3 Too many recipients",
    },
)  # fmt: skip
_ALL = (_EXIM, _EXIM, _POSTFIX, _SENDMAIL)
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_DOMAINS = ("localdomain", "local", "lan", "home", "intranet", "internal")


class Server:
    """The mail server of a pretended host."""

    __slots__ = ("name", "product", "version")

    def __init__(self, host: Host) -> None:
        seed = host.seed.child("smtp")
        self.product = seed.choice("product", _ALL)
        self.version = seed.choice("version", self.product.versions)
        self.name = f"{host.name.lower()}.{seed.choice('domain', _DOMAINS)}"

    def say(self, key: str, **words: str) -> bytes:
        """Return a reply, with its line end."""
        if key == "no mail" and key not in self.product.says:
            key = "order"
        return (self.product.says[key].format_map(_Words(words, name=self.name)) + "\r\n").encode("latin-1", "replace")

    def banner(self, at_s: float) -> bytes:
        """Return what it greets with."""
        at = datetime.fromtimestamp(at_s, UTC)
        date = f"{at:%a}, {at.day} {at:%b %Y %H:%M:%S} +0000"
        words = {"name": self.name, "version": self.version, "date": date}
        return f"220 {self.product.banner.format_map(words)}\r\n".encode()

    def hello(self, peer: str, helo: str) -> str:
        """Return the first line that answers HELO and EHLO."""
        return self.product.hello.format_map(_Words({"peer": peer, "what": helo}, name=self.name))

    def queue_id(self, drawn: Seed, at_s: float) -> str:
        """Return the number under which it takes a message in."""
        if self.product is _EXIM:  # seconds, process, fraction, in base 62
            numbers = ((int(at_s), 6), (1000 + drawn.number("process", 30_000), 6), (drawn.number("fraction", 2000), 2))
            return "-".join(_base_62(number, digits) for number, digits in numbers)
        if self.product is _POSTFIX:
            return f"{drawn.number('queue', 1 << 44):011X}"
        at = datetime.fromtimestamp(at_s, UTC)
        date = "".join(_DIGITS[part] for part in (at.year % 60, at.month - 1, at.day, at.hour, at.minute, at.second))
        return f"{date}{1000 + drawn.number('process', 30_000):06d}"


def _base_62(number: int, digits: int) -> str:
    text = ""
    for _ in range(digits):
        number, digit = divmod(number, 62)
        text = _DIGITS[digit] + text
    return text


class _Words(dict[str, str]):
    """What is filled in; what nobody gave is nothing."""

    def __missing__(self, key: str) -> str:
        return ""
