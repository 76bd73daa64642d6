"""Where downloads may go, and what they may cost. Decides about one address at a time; resolves nothing.

`FetchSettings` is all that an operator can set. `forbidden` is the rule that keeps a sensor from being turned on its
neighbours: whatever is not plainly a public address of somebody else is refused, for every scheme.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from eudaemon.options import option, port_ranges

# Networks that are never a stranger's public host, and why (IANA special-purpose registries, RFC 6890 and successors).
_NEVER_4 = tuple(
    (IPv4Network(network), why)
    for network, why in (
        ("0.0.0.0/8", "this network"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "carrier NAT"),  # also Alibaba's metadata service
        ("127.0.0.0/8", "loopback"),
        ("168.63.129.16/32", "metadata service"),  # Azure's, in an otherwise public network
        ("169.254.0.0/16", "link-local or metadata service"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "protocol assignments"),  # also Oracle's metadata service
        ("192.0.2.0/24", "documentation"),
        ("192.88.99.0/24", "6to4 relay"),
        ("192.168.0.0/16", "private"),
        ("198.18.0.0/15", "benchmarks"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved or broadcast"),
    )
)
_GLOBAL_6 = IPv6Network("2000::/3")  # RFC 4291: all that is handed out as global unicast
_NEVER_6 = tuple(
    (IPv6Network(network), why)
    for network, why in (
        ("2001::/32", "Teredo"),
        ("2001:2::/48", "benchmarks"),
        ("2001:10::/28", "ORCHID"),
        ("2001:20::/28", "ORCHID"),
        ("2001:db8::/32", "documentation"),
        ("3fff::/20", "documentation"),
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052: the IPv4 address is the last 32 bits
_RFC1918 = tuple(network for network, why in _NEVER_4 if why == "private")


SCHEMES = ("http", "https", "ftp", "tftp", "redis", "ldap", "ldaps", "rmi", "scp", "sftp", "smb", "rcp", "creceive",
           "blink", "link", "csend", "nc", "tcp")  # fmt: skip
# Where the attack itself makes us the client, only the attacker's own address is asked, whatever the policy says:
# anybody else's Redis would be read, and asked to replicate, through us.
# Nor does anybody else bring us a file when we listen for one.
ATTACKER_ONLY = frozenset(("redis", "creceive", "blink"))
# Where loaders wait for a bare connection: the web's ports, digits that repeat, and the high ones. Not where mail,
# logins, databases and the like are: a bare connection says nothing of what it is for, and looks there like an attack.
_RAW_PORTS = ("80-90,443,666,999,1111,1234,1337,2222,3333,4321,4444,5555,6666,7777,8000-8100,8443,8888,9000-9010,9999,"
              "10000-11210,11212-27016,27020-65535")  # fmt: skip


def _networks(values: tuple[str, ...]) -> None:
    for value in values:
        ip_network(value, strict=False)


def _ports(values: tuple[str, ...]) -> None:
    said: set[str] = set()
    for value in values:
        schemes, blank, ports = value.partition(" ")
        if not blank:
            raise ValueError(f"{value!r} is not of the form `scheme[,scheme] port[,port][,port-port]`")
        for scheme in schemes.split(","):
            if scheme not in SCHEMES:
                raise ValueError(f"{value!r}: there is no scheme {scheme!r}; there are {', '.join(SCHEMES)}")
            if scheme in said:
                raise ValueError(f"{value!r}: the ports of {scheme} stand in another line already")
            said.add(scheme)
        try:
            port_ranges(ports.strip())
        except ValueError as error:
            raise ValueError(f"{value!r}: {error}") from None


@dataclass(frozen=True, slots=True)
class FetchSettings:
    """What the sensor may fetch of that which attacks wish for."""

    policy: str = option(
        "public",
        "Where downloads may go: nowhere (`off`), only to the attacker's own address (`attacker`), "
        "or to any public address (`public`). Private, own and metadata addresses are refused always.",
        among=("off", "attacker", "public"),
    )
    lab_networks: tuple[str, ...] = option(
        (), "Networks that downloads may go to although they are private, for a lab of one's own.", check=_networks
    )
    own_networks: tuple[str, ...] = option(
        (), "Further networks that downloads never go to, such as one's public address behind NAT.", check=_networks
    )
    ports: tuple[str, ...] = option(
        (f"nc,tcp,csend,link {_RAW_PORTS}",),
        "Which ports downloads may ask, by scheme: `scheme[,scheme] port[,port][,port-port]`. A scheme that no line "
        f"names may ask any port. Schemes: {', '.join(SCHEMES)}; the last four are bare connections, as "
        "`nc HOST PORT`.",
        check=_ports,
    )
    private_to_attacker: bool = option(
        True, "Where a payload names a private address (RFC 1918), ask the attacker's own address instead."
    )
    bytes_max: int = option(32 * 1024 * 1024, "Size of one download; what came up to there is kept.", low=1)
    total_s_max: float = option(180.0, "How long one download may take in all.", low=0.01)
    idle_s_max: float = option(20.0, "How long a server may say nothing.", low=0.01)
    connect_s_max: float = option(10.0, "How long a name may take to resolve, and a server to accept.", low=0.01)
    redirects_max: int = option(5, "How many redirects are followed in one download.", low=0)
    depth_max: int = option(3, "How deep scripts that fetch scripts are followed.", low=0)
    urls_max: int = option(48, "How many downloads may follow from one payload.", low=1)
    hosts_max: int = option(8, "How many different hosts the downloads that follow from one payload may name.", low=1)
    starts_per_minute_max: int = option(120, "How many downloads may start in a minute.", low=1)
    starts_per_host_minute_max: int = option(30, "How many downloads may start in a minute from one address.", low=1)
    concurrent_max: int = option(8, "How many downloads may be under way at once.", low=1)
    waiting_max: int = option(64, "How many downloads may wait for their turn; more are refused.", low=0)
    same_url_s: float = option(600.0, "For how long a download's answer serves whoever asks for the same.", low=0)
    failed_url_s: float = option(60.0, "For how long a download that brought nothing is not tried again.", low=0)
    remembered_bytes_max: int = option(2 * 1024 * 1024, "How much of such answers is held in memory.", low=0)
    listen: bool = option(
        True, "Let an attacker that brings its file itself connect to us, on the port that its shellcode would open."
    )
    call_back: bool = option(
        True,
        "Call the attacker's own address back where its shellcode would, with a pretended shell; by the policy, "
        "and only at the ports that `tcp` may ask.",
    )
    ftp_active: bool = option(False, "Let an FTP server connect back to us when passive mode fails.")


def plain(ip: str) -> IPv4Address | IPv6Address:
    """Return the address, an IPv4 one mapped into IPv6 as IPv4. Raises `ValueError`."""
    address = ip_address(ip)
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def forbidden(ip: str, attacker_ip: str, settings: FetchSettings) -> str:
    """Return why no download may go to this address, in words; empty if one may. Raises `ValueError` for no address."""
    address = plain(ip)
    if settings.policy == "off":
        return "policy"
    if _within(address, settings.lab_networks):
        return ""
    if settings.policy == "attacker" and address != plain(attacker_ip):
        return "policy: not the attacker's address"
    why = _special(address)
    if why:
        return f"address: {why}"
    if _within(address, settings.own_networks) or is_own(str(address)):
        return "address: own"
    return ""


def forbidden_port(scheme: str, port: int, settings: FetchSettings) -> str:
    """Return why no download of this scheme may ask this port, in words; empty if one may."""
    for line in settings.ports:
        schemes, _, ports = line.partition(" ")
        if scheme in schemes.split(","):
            allowed = any(first <= port <= last for first, last in port_ranges(ports.strip()))
            return "" if allowed else f"policy: {scheme} port {port}"
    return ""


def is_private(ip: str) -> bool:
    """Say whether it is an RFC 1918 address, which means nothing outside the attacker's own network."""
    try:
        address = plain(ip)
    except ValueError:
        return False
    return isinstance(address, IPv4Address) and any(address in network for network in _RFC1918)


def is_own(ip: str) -> bool:
    """Say whether packets to this address would stay on this machine.

    The kernel is asked, not a list of interfaces, so that aliases, AnyIP prefixes and changes since the start count:
    towards a local address it picks that same address as the source. `connect` on UDP sends nothing.
    """
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((ip, 9))
            return bool(probe.getsockname()[0] == ip)
    except OSError:
        return False  # no route: then no download gets there either


def _special(address: IPv4Address | IPv6Address) -> str:
    if isinstance(address, IPv4Address):
        return next((why for network, why in _NEVER_4 if address in network), "")
    inner = address.sixtofour
    if address in _NAT64:
        inner = IPv4Address(int(address) & 0xFFFFFFFF)
    elif address not in _GLOBAL_6:
        return "not global"
    if inner is not None:
        return _special(inner)
    return next((why for network, why in _NEVER_6 if address in network), "")


def _within(address: IPv4Address | IPv6Address, networks: tuple[str, ...]) -> bool:
    return any(address in ip_network(network, strict=False) for network in networks)
