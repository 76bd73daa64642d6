"""What can be set of a sensor, each number with its bounds, and how a listener is read from its line of text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address

from eudaemon.options import option, port_ranges
from eudaemon.protocols import ROOMS

KIB, MIB, GIB = 1024, 1024**2, 1024**3
PORTS_MAX = 4096  # of all listeners together; more ports than that want a redirect in the firewall
PORT_MAX = 65535
PASSIVE_PORT_MIN = 1024
TRANSPORTS = ("tcp", "udp")


@dataclass(frozen=True, slots=True)
class Listener:
    """Which rooms answer on which ports. Several rooms share a port; the peer's first bytes choose."""

    rooms: tuple[str, ...]
    transport: str
    ports: tuple[int, ...]

    @classmethod
    def parse(cls, text: str) -> Listener:
        """Read `telnet+http tcp 23,2323,5000-5010`. Raises `ValueError` with what is wrong."""
        words = text.split()
        if len(words) != 3:
            raise ValueError(f"{text!r} is not of the form `room[+room] tcp|udp port[,port][,port-port]`")
        rooms = tuple(words[0].split("+"))
        for room in rooms:
            if room not in ROOMS:
                raise ValueError(f"{text!r}: there is no room {room!r}; there are {', '.join(ROOMS)}")
        if words[1] not in TRANSPORTS:
            raise ValueError(f"{text!r}: {words[1]!r} is neither tcp nor udp")
        if words[1] == "udp" and len(rooms) > 1:
            raise ValueError(f"{text!r}: rooms share TCP ports only")
        return cls(rooms, words[1], _ports(words[2], text))


def _ports(text: str, whole: str) -> tuple[int, ...]:
    found: dict[int, None] = {}
    try:
        ranges = port_ranges(text)
    except ValueError as error:
        raise ValueError(f"{whole!r}: {error}") from None
    for first, last in ranges:
        if last - first >= PORTS_MAX:
            raise ValueError(f"{whole!r}: more than {PORTS_MAX} ports")
        found.update(dict.fromkeys(range(first, last + 1)))
    return tuple(found)


def _listeners(values: tuple[str, ...]) -> None:
    taken: dict[tuple[str, int], str] = {}
    for value in values:
        listener = Listener.parse(value)
        for port in listener.ports:
            if taken.setdefault((listener.transport, port), value) != value:
                raise ValueError(
                    f"{value!r}: {listener.transport} port {port} is taken by {taken[listener.transport, port]!r}"
                )
    if len(taken) > PORTS_MAX:
        raise ValueError(f"more than {PORTS_MAX} ports")


def _passive_ports(value: str) -> None:
    if any(port < PASSIVE_PORT_MIN for port in _ports(value, value)):
        raise ValueError(f"{value!r}: ports below {PASSIVE_PORT_MIN} need root, which the sensor gives up")


def _addresses(values: tuple[str, ...]) -> None:
    if not values:
        raise ValueError("at least one address is needed")
    for value in values:
        ip_address(value)


def _name(value: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", value):
        raise ValueError(f"{value!r} must be 1 to 64 letters, digits, dots, dashes and underscores")


def _persona(value: str) -> None:
    if value and not is_file(value):
        from eudaemon.world.personas import BY_NAME

        if value not in BY_NAME:
            raise ValueError(
                f"there is no persona {value!r}; there are {', '.join(BY_NAME)}, and files that end in .toml"
            )


def is_file(persona: str) -> bool:
    """Say whether a persona is one of somebody's own, in a file."""
    return persona.endswith(".toml")


def own_listeners(listen: tuple[str, ...]) -> tuple[str, ...]:
    """Return a persona's own listeners; where a room is not there, its ports are open all the same."""
    found = []
    for text in listen:
        rooms, transport, ports = text.split()
        there = "+".join(room for room in rooms.split("+") if room in ROOMS) or "catchall"
        found.append(f"{there} {transport} {ports}")
    return tuple(found)


def _url(value: str) -> None:
    if value and not re.fullmatch(r"https://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(:\d{1,5})?/?", value):
        raise ValueError(f"{value!r} is not of the form https://host:port")


def _fingerprint(value: str) -> None:
    if value and not re.fullmatch(r"[0-9a-fA-F]{64}", value):
        raise ValueError("a fingerprint is 64 hexadecimal digits, as `eudaemon farm enrol` prints it")


@dataclass(frozen=True, slots=True)
class Limits:
    """What peers may take of the sensor."""

    sessions_max: int = option(6000, "Most sessions at once, over TCP.", low=1, high=1_000_000)
    udp_sessions_max: int = option(
        1000, "Most sessions at once over UDP, where addresses can be forged.", low=1, high=100_000
    )
    sessions_per_address_max: int = option(
        100, "Most sessions at once from one address (of IPv6, one /64).", low=1, high=1_000_000
    )
    starts_per_address_minute_max: int = option(
        600, "Most new sessions in a minute from one address (of IPv6, one /64).", low=1, high=10_000_000
    )
    addresses_max: int = option(20_000, "Most addresses that are remembered for these limits.", low=16, high=10_000_000)
    idle_s_max: float = option(
        120.0, "A session in which the peer says nothing for so long is ended, seconds.", low=0.1
    )
    udp_idle_s_max: float = option(30.0, "The same for a peer's datagrams to one port, seconds.", low=0.1)
    total_s_max: float = option(1800.0, "The longest a session may last, seconds.", low=0.1)
    linger_s_max: float = option(
        2.0, "How long a closed connection may take to deliver its last bytes, seconds.", low=0.1, high=60.0
    )
    received_bytes_max: int = option(64 * MIB, "Most bytes that a session may send to us.", low=1)
    unsent_bytes_max: int = option(
        256 * KIB, "Most bytes that wait for a peer that does not read; more ends its session.", low=KIB
    )
    session_held_bytes_max: int = option(
        24 * MIB, "Most memory that a session may hold for its peer, such as the files that it makes.", low=4 * KIB
    )
    held_bytes_max: int = option(
        64 * MIB,
        "Most memory that all sessions together may hold for their peers. Half of it is for sessions that hold less "
        "than a sixteenth.",
        low=64 * KIB,
    )


@dataclass(frozen=True, slots=True)
class Capture:
    """What is kept of that which peers bring."""

    artefact_bytes_max: int = option(64 * MIB, "Largest artefact; what is beyond is cut off.", low=1, high=4 * GIB)
    artefacts_bytes_max: int = option(2 * GIB, "Most bytes of artefacts on disk; then captures stop.", low=64 * KIB)
    artefacts_max: int = option(200_000, "Most artefacts on disk; then captures stop.", low=1, high=10_000_000)
    conversation_bytes_max: int = option(
        8 * MIB, "Most that is recorded of one conversation; the rest is not.", low=0, high=GIB
    )
    disk_free_bytes_min: int = option(64 * MIB, "Captures stop while less than this is free on the disk.", low=0)
    keep_artefacts: bool = option(False, "Keep artefacts also after the farm has them.")


@dataclass(frozen=True, slots=True)
class SpoolSettings:
    """Events on their way to the farm."""

    bytes_max: int = option(256 * MIB, "Most that waits on disk; then the oldest goes first.", low=64 * KIB)
    segment_bytes_max: int = option(4 * MIB, "Size of a segment, which is what goes at a time.", low=4 * KIB, high=GIB)
    fsync_ms: int = option(200, "Events are made durable in groups this far apart, milliseconds.", low=1, high=60_000)
    memory_bytes_max: int = option(4 * MIB, "Most that is held in memory while the disk takes nothing.", low=4 * KIB)


@dataclass(frozen=True, slots=True)
class Uplink:
    """The farm that events and artefacts are delivered to. Without a `url` all stays here."""

    url: str = option("", "The farm's intake, as https://host:port.", check=_url)
    secret: str = option("", "This sensor's secret, as `eudaemon farm enrol` prints it.", secret=True)
    fingerprint: str = option(
        "", "SHA-256 of the farm's certificate, hexadecimal; no other is accepted.", check=_fingerprint
    )
    batch_events_max: int = option(1000, "Most events in a batch.", low=1, high=10_000)
    batch_bytes_max: int = option(2 * MIB, "Most bytes in a batch.", low=64 * KIB, high=8 * MIB)
    wait_s_max: float = option(
        0.5, "How long a batch of fewer than 100 events waits for more, seconds.", low=0.0, high=60.0
    )
    heartbeat_s: float = option(
        15.0, "How often the farm hears of a sensor that sees nothing, seconds.", low=0.1, high=3600.0
    )
    answer_s_max: float = option(60.0, "How long the farm may take to answer, seconds.", low=0.1, high=3600.0)
    backoff_s_max: float = option(60.0, "Longest pause before the farm is tried again, seconds.", low=0.1, high=3600.0)

    def __post_init__(self) -> None:
        """Raise `ValueError` for a farm that could not be known again, or that would not know us."""
        if self.url and not (self.secret and self.fingerprint):
            raise ValueError("has a url, but no secret or no fingerprint; `eudaemon farm enrol NAME` prints all three")


@dataclass(frozen=True, slots=True)
class SensorSettings:
    """The sensor."""

    name: str = option("sensor", "The sensor's name, as enrolled at the farm.", check=_name)
    listen: tuple[str, ...] = option(
        (
            "telnet tcp 23,2323",
            "ssh tcp 22,2222",
            "http tcp 80,81,443,8080,8081,8443,9000",
            "http+jdwp tcp 8000",
            "telnet+tr069 tcp 7547",
            "upnp tcp 5431,37215,49152,52869",
            "upnp udp 1900",
            "adb tcp 5555",
            "docker tcp 2375",
            "epmap tcp 135",
            "kubelet tcp 10250,10255",
            "memcached tcp 11211",
            "memcached udp 11211",
            "mongodb tcp 27017",
            "mssql tcp 1433",
            "mysql tcp 3306",
            "postgres tcp 5432",
            "redis tcp 6379",
            "activemq tcp 61616",
            "jenkins tcp 8082,9090",
            "ldap tcp 389,636",
            "ldap udp 389",
            "yarn tcp 8088",
            "ftp tcp 21,990",
            "tftp udp 69",
            "smtp tcp 25,465,587",
            "pop3 tcp 110,995",
            "imap tcp 143,993",
            "backdoor tcp 500,2745,3127,3140,17300,27347",
            "dns tcp 53,853",
            "dns udp 53",
            "mqtt tcp 1883,8883",
            "ntp udp 123",
            "printer tcp 9100",
            "rdp tcp 3389",
            "rtsp tcp 554,8554",
            "sip tcp 5060,5061",
            "sip udp 5060",
            "vnc tcp 5900,5901",
            "smb tcp 139,445",
            "cmd tcp 4444",
            "sh tcp 1524",
            "elasticsearch tcp 9200",
            "proxy+socks tcp 3128,8118,8888",
            "socks+proxy tcp 1080",
            "snmp udp 161",
            "snmp tcp 161",
            "ipp tcp 631",
            "ipp udp 631",
            "modbus tcp 502",
            "s7 tcp 102",
            "pptp tcp 1723",
            "smartinstall tcp 4786",
            "git tcp 9418",
            "netbios udp 137,5355",
            "distcc tcp 3632",
            "rocketmq tcp 9876,10911",
            "jdwp tcp 5005,8453",
            "java tcp 1099",
            "http+java tcp 7001",
            "catchall tcp 8545",
            "catchall udp 9034,53413",
        ),
        "Which rooms answer on which ports: `room[+room] tcp|udp port[,port][,port-port]`. None are those of the "
        "persona.",
        check=_listeners,
    )
    addresses: tuple[str, ...] = option(("0.0.0.0", "::"), "Addresses on which all of them listen.", check=_addresses)
    port_offset: int = option(
        0,
        "Added to every port, for listening without root; a port that would be beyond 65535 stays.",
        low=0,
        high=65534,
    )
    passive_ports: str = option(
        "50000-50127",
        "TCP ports on which a peer's second connection is awaited, as FTP's passive mode wants it: "
        "`port[,port][,port-port]`. Each listens for one address only, half a minute at most; `port_offset` does not "
        "move them.",
        check=_passive_ports,
    )
    redirected: bool = option(
        False, "Whether the firewall redirects TCP ports to ours: then events state the port that was really asked for."
    )
    persona: str = option(
        "",
        "Which device is pretended: a name that `eudaemon persona list` shows, or a file of one's own (.toml); empty "
        "draws it from the installation's seed.",
        check=_persona,
    )
    downloads: bool = option(
        True, "Whether the pretended device has wget, tftp and curl. Without them loaders upload in the session itself."
    )
    tls: bool = option(
        True, "Whether a peer that opens with TLS is answered with TLS, on TCP ports of products that may speak it."
    )
    tls_grace_ms: int = option(
        30,
        "How long a room that speaks first, as telnet does, waits for a peer to begin with TLS, milliseconds; "
        "0 does not wait, and knows no TLS there.",
        low=0,
        high=1000,
    )
    limits: Limits = option(Limits, "What peers may take.")
    capture: Capture = option(Capture, "What is kept.")
    spool: SpoolSettings = option(SpoolSettings, "Events on their way.")
    uplink: Uplink = option(Uplink, "The farm.")

    def __post_init__(self) -> None:
        """Raise `ValueError` for a sensor without ports."""
        if not self.listen and not self.persona:
            raise ValueError("has neither a listener nor a persona whose ports could be opened")

    def bound(self, port: int) -> int:
        """Return the port that is really listened on: moved up by the offset, unless that leads beyond the last one."""
        moved = port + self.port_offset
        return moved if moved <= PORT_MAX else port

    @property
    def listeners(self) -> tuple[Listener, ...]:
        """The listeners, read from their text; without any, the persona's own. (A file's are told beforehand.)"""
        listen = self.listen
        if not listen and not is_file(self.persona):
            from eudaemon.world.personas import BY_NAME

            listen = own_listeners(BY_NAME[self.persona].listen)
        return tuple(Listener.parse(text) for text in listen)

    @property
    def side_ports(self) -> tuple[int, ...]:
        """The passive ports, each."""
        return _ports(self.passive_ports, self.passive_ports)
