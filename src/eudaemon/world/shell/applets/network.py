"""The network as the host shows it: `ifconfig`, `ip`, `route`, `netstat`, `ping`, `iptables`. Nothing is sent."""

from __future__ import annotations

from eudaemon.world.kernel import listening
from eudaemon.world.shell.call import Applet, Call, number, options, text


def ifconfig(call: Call) -> int:
    """Show the interfaces; setting one up works."""
    if len([argument for argument in call.args if argument[:1] != b"-"]) > 1:
        return 0
    host = call.host
    wanted = call.args[0] if call.args and call.args[0][:1] != b"-" else b""
    if wanted not in (b"", b"eth0", b"lo"):
        return call.error(f"{text(wanted)}: error fetching interface information: Device not found")
    received = host.seed.number("traffic", 3_000_000_000) + 100_000_000
    network = host.address.rpartition(".")[0]
    if wanted in (b"", b"eth0"):
        call.line(
            f"eth0      Link encap:Ethernet  HWaddr {host.mac.upper()}  \n"
            f"          inet addr:{host.address}  Bcast:{network}.255  Mask:255.255.255.0\n"
            "          UP BROADCAST RUNNING MULTICAST  MTU:1500  Metric:1\n"
            f"          RX packets:{received // 700} errors:0 dropped:0 overruns:0 frame:0\n"
            f"          TX packets:{received // 900} errors:0 dropped:0 overruns:0 carrier:0\n"
            "          collisions:0 txqueuelen:1000 \n"
            f"          RX bytes:{received} ({received / 1048576:.1f} MiB)  TX bytes:{received // 5} "
            f"({received / 5242880:.1f} MiB)\n          Interrupt:5 \n"
        )
    if wanted in (b"", b"lo"):
        call.line(
            "lo        Link encap:Local Loopback  \n          inet addr:127.0.0.1  Mask:255.0.0.0\n"
            "          UP LOOPBACK RUNNING  MTU:16436  Metric:1\n          RX packets:904 errors:0 dropped:0 "
            "overruns:0 frame:0\n"
            "          TX packets:904 errors:0 dropped:0 overruns:0 carrier:0\n          collisions:0 txqueuelen:0 \n"
            "          RX bytes:81204 (79.3 KiB)  TX bytes:81204 (79.3 KiB)\n"
        )
    return 0


def ip(call: Call) -> int:
    """`ip addr`, `ip link`, `ip route`, `ip neigh`; changes work."""
    words = [argument for argument in call.args if argument[:1] != b"-"]
    host = call.host
    network = host.address.rpartition(".")[0]
    what = words[0] if words else b""
    if len(words) > 1 and words[1] not in (b"show", b"list", b"ls"):
        return 0
    if what[:1] == b"r":
        call.line(f"default via {host.gateway} dev eth0 \n{network}.0/24 dev eth0  src {host.address} ")
    elif what[:1] in (b"a", b"l"):
        call.line(
            "1: lo: <LOOPBACK,UP,LOWER_UP> mtu 16436 qdisc noqueue \n    link/loopback 00:00:00:00:00:00 brd "
            "00:00:00:00:00:00"
        )
        if what[:1] == b"a":
            call.line("    inet 127.0.0.1/8 scope host lo")
        call.line(f"2: eth0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc pfifo_fast qlen 1000\n    link/ether "
                  f"{host.mac} brd "
                  "ff:ff:ff:ff:ff:ff")  # fmt: skip
        if what[:1] == b"a":
            call.line(f"    inet {host.address}/24 brd {network}.255 scope global eth0")
    elif what[:1] == b"n":
        call.line(f"{host.gateway} dev eth0 lladdr {host.mac[:8]}:{host.mac[12:]}:01 REACHABLE")
    return 0


def route(call: Call) -> int:
    """Show the routes; changes work."""
    if any(argument in (b"add", b"del") for argument in call.args):
        return 0
    network = call.host.address.rpartition(".")[0]
    call.line("Kernel IP routing table\nDestination     Gateway         Genmask         Flags Metric Ref    Use Iface")
    call.line(f"{'default':<15} {call.host.gateway:<15} {'0.0.0.0':<15} UG    0      0        0 eth0")
    call.line(f"{network + '.0':<15} {'*':<15} {'255.255.255.0':<15} U     0      0        0 eth0")
    return 0


def netstat(call: Call) -> int:
    """Show what listens, and the connection that asks."""
    given, _ = options(call.args)
    host, (here, there) = call.host, call.shell.ports
    call.line("Active Internet connections (servers and established)\n"
              "Proto Recv-Q Send-Q Local Address           Foreign Address         State       ")  # fmt: skip
    for port in dict.fromkeys((*listening(host), *((here,) if here else ()))):
        call.line(f"tcp        0      0 {'0.0.0.0:' + str(port):<23} {'0.0.0.0:*':<23} LISTEN      ")
    if there and ":" not in call.shell.peer:
        call.line(f"tcp        0      0 {f'{host.address}:{here}':<23} {f'{call.shell.peer}:{there}':<23} ESTABLISHED ")
    if "u" in given or not given:
        call.line(f"udp        0      0 {'0.0.0.0:1900':<23} {'0.0.0.0:*':<23}             ")
    return 0


def ping(call: Call) -> int:
    """Say that nobody answered: nothing is sent."""
    given, rest = options(call.args, "cswWIti")
    if not rest:
        return call.error("missing operand")
    count = min(number(given.get("c", b"4"), 4), 16)
    name = text(rest[0])
    if not name.replace(".", "").isdecimal():
        return call.error(f"bad address '{name}'")
    call.line(f"PING {name} ({name}): 56 data bytes\n\n--- {name} ping statistics ---")
    call.line(f"{count} packets transmitted, 0 packets received, 100% packet loss")
    return 1


def nslookup(call: Call) -> int:
    """Say that the name server does not know it."""
    name = text(call.args[0]) if call.args else ""
    call.line(f"Server:    {call.host.gateway}\nAddress 1: {call.host.gateway}\n")
    return call.error(f"can't resolve '{name}'")


def arp(call: Call) -> int:
    """Show the neighbours."""
    host = call.host
    call.line(f"? ({host.gateway}) at {host.mac[:8]}:{host.mac[12:]}:01 [ether]  on eth0")
    return 0


def iptables(call: Call) -> int:
    """Rules are taken; the list is empty."""
    given, _ = options(call.args)
    if given.keys() & {"L", "list", "S"}:
        for chain in ("INPUT", "FORWARD", "OUTPUT"):
            call.line(f"Chain {chain} (policy ACCEPT)\ntarget     prot opt source               destination         \n")
    return 0


TABLE: dict[str, Applet] = {
    "ifconfig": ifconfig, "ip": ip, "route": route, "netstat": netstat, "ping": ping, "traceroute": ping,
    "nslookup": nslookup, "arp": arp, "iptables": iptables,
}  # fmt: skip
