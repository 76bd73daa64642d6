"""What tells of the network, and what opens it: `ipconfig`, `netstat`, `ping`, `nslookup`, `netsh` and their like."""

from __future__ import annotations

from eudaemon.world.windows.call import Call, Command, Run, switches
from eudaemon.world.windows.commands.system import waiting

_PINGS = 4
_PINGS_MAX = 100
_LISTENING = (135, 445, 49152, 49153, 49154, 49155)
_ALSO_LISTENING = (80, 443, 1433, 3306, 3389, 5900, 5985, 8080, 47001)  # of which one in two is there


def ipconfig(call: Call) -> int:
    """List the addresses."""
    machine = call.machine
    options, _ = switches(call.args)
    card = "Ethernet0" if machine.release.version.startswith("10.") else "Local Area Connection"
    if options.keys() & {"flushdns", "release", "renew", "registerdns"}:
        call.lines("\nWindows IP Configuration\n\nSuccessfully flushed the DNS Resolver Cache.\n")
        return 0
    local = f"fe80::{machine.seed.bytes('link local', 8).hex(':', 2)}%11"
    if "all" in options:
        call.lines(f"\nWindows IP Configuration\n\n   Host Name . . . . . . . . . . . . : {machine.name}\n"
                   "   Primary Dns Suffix  . . . . . . . :\n   Node Type . . . . . . . . . . . . : Hybrid\n"
                   "   IP Routing Enabled. . . . . . . . : No\n   WINS Proxy Enabled. . . . . . . . : No\n\n"
                   f"Ethernet adapter {card}:\n\n   Connection-specific DNS Suffix  . :\n"
                   "   Description . . . . . . . . . . . : Intel(R) 82574L Gigabit Network Connection\n"
                   f"   Physical Address. . . . . . . . . : {machine.mac}\n"
                   "   DHCP Enabled. . . . . . . . . . . : No\n   Autoconfiguration Enabled . . . . : Yes\n"
                   f"   Link-local IPv6 Address . . . . . : {local}(Preferred)\n"
                   f"   IPv4 Address. . . . . . . . . . . : {machine.address}(Preferred)\n"
                   "   Subnet Mask . . . . . . . . . . . : 255.255.255.0\n"
                   f"   Default Gateway . . . . . . . . . : {machine.gateway}\n"
                   f"   DNS Servers . . . . . . . . . . . : {machine.gateway}\n"
                   "   NetBIOS over Tcpip. . . . . . . . : Enabled\n")  # fmt: skip
    else:
        call.lines(f"\nWindows IP Configuration\n\n\nEthernet adapter {card}:\n\n"
                   f"   Connection-specific DNS Suffix  . :\n   Link-local IPv6 Address . . . . . : {local}\n"
                   f"   IPv4 Address. . . . . . . . . . . : {machine.address}\n"
                   "   Subnet Mask . . . . . . . . . . . : 255.255.255.0\n"
                   f"   Default Gateway . . . . . . . . . : {machine.gateway}\n")  # fmt: skip
    return 0


def netstat(call: Call) -> int:
    """List what listens."""
    call.lines("\nActive Connections\n\n  Proto  Local Address          Foreign Address        State"
               f"{'           PID' if 'o' in call.tail.lower() else ''}\n")  # fmt: skip
    seed = call.machine.seed
    for port in sorted((*_LISTENING, *(port for port in _ALSO_LISTENING if seed.number(f"port {port}", 2)))):
        local = f"0.0.0.0:{port}"
        owner = 4 if port in (445, 5985, 47001) else call.machine.processes[6 + port % 8][1]
        call.line(
            f"  TCP    {local:<23}{'0.0.0.0:0':<23}LISTENING{f'       {owner}' if 'o' in call.tail.lower() else ''}"
        )
    return 0


def arp(call: Call) -> int:
    """List the neighbours."""
    machine = call.machine
    neighbour = machine.seed.bytes("gateway", 6).hex("-")
    call.lines(f"\nInterface: {machine.address} --- 0xb\n  Internet Address      Physical Address      Type\n"
               f"  {machine.gateway:<22}{neighbour:<22}dynamic\n")  # fmt: skip
    return 0


def route(call: Call) -> int:
    """List the routes."""
    machine = call.machine
    call.lines("===========================================================================\nIPv4 Route Table\n"
               "===========================================================================\nActive Routes:\n"
               "Network Destination        Netmask          Gateway       Interface  Metric\n"
               f"          0.0.0.0          0.0.0.0{machine.gateway:>17}{machine.address:>17}    266\n")  # fmt: skip
    return 0


def getmac(call: Call) -> int:
    """Say the card's address."""
    card = call.machine.seed.bytes("card", 8).hex().upper()
    call.lines("\nPhysical Address    Transport Name\n=================== "
               "==========================================================\n"
               f"{call.machine.mac}   \\Device\\Tcpip_{{{card}}}\n")  # fmt: skip
    return 0


def ping(call: Call) -> Run:
    """Ourselves answers; nobody else is asked."""
    target, count, at = "", _PINGS, 0
    args = call.args
    while at < len(args):
        if args[at].lower() in ("-n", "/n") and at + 1 < len(args):
            count = min(int(args[at + 1][:6]), _PINGS_MAX) if args[at + 1].isdecimal() else _PINGS
            at += 1
        elif args[at].lower() in ("-w", "-l", "-i", "/w", "/l", "/i", "-r", "-s"):
            at += 1
        elif args[at][:1] not in "-/":
            target = args[at]
        at += 1
    if not target:
        return call.error("\r\nUsage: ping [-t] [-a] [-n count] [-l size] [-f] [-i TTL] [-v TOS]\r\n"
                          "            [-r count] [-s count] [[-j host-list] | [-k host-list]]\r\n"
                          "            [-w timeout] [-R] [-S srcaddr] [-4] [-6] target_name\r\n")  # fmt: skip
    own = target.lower() in ("127.0.0.1", "localhost", call.machine.address, call.machine.name.lower())
    if not own and not target[:1].isdecimal():
        yield from waiting(2.0, call)
        return call.error(f"Ping request could not find host {target}. Please check the name and try again.")
    call.lines(f"\nPinging {target} with 32 bytes of data:\n")
    for index in range(count):
        yield from waiting(1.0 if index else 0.1, call) if index < 16 else ()
        call.line(f"Reply from {target}: bytes=32 time<1ms TTL=128" if own else "Request timed out.")
    received = count if own else 0
    call.lines(f"\nPing statistics for {target}:\n    Packets: Sent = {count}, Received = {received}, Lost = "
               f"{count - received} ({0 if own else 100}% loss),\n")  # fmt: skip
    if own:
        call.lines("Approximate round trip times in milli-seconds:\n    Minimum = 0ms, Maximum = 0ms, Average = 0ms\n")
    return 0 if own else 1


def nslookup(call: Call) -> int:
    """No name is asked for."""
    name = call.args[0] if call.args else ""
    call.lines(f"DNS request timed out.\n    timeout was 2 seconds.\nServer:  UnKnown\nAddress:  {call.machine.gateway}"
               "\n\n")  # fmt: skip
    return call.error(f"*** UnKnown can't find {name}: No response from server")


def tracert(call: Call) -> int:
    """The way leads nowhere."""
    target = call.args[-1] if call.args else ""
    return call.error(f"Unable to resolve target system name {target}.")


def netsh(call: Call) -> int:
    """Whatever is set, is set."""
    lower = call.tail.lower()
    if "show" in lower and "profile" in lower:
        call.lines(f"\nDomain Profile Settings:\n{'-' * 70}\n"
                   "State                                 ON\nFirewall Policy                       "
                   "BlockInbound,AllowOutbound\nOk.\n")  # fmt: skip
    elif "show" in lower:
        call.lines("\nListen on ipv4:             Connect to ipv4:\n\n" if "portproxy" in lower else "\n")
    elif "advfirewall" in lower and "delete" in lower:
        call.lines("\nNo rules match the specified criteria.\n")
        return 1
    else:
        call.line("Ok.\r\n")
    return 0


def nbtstat(call: Call) -> int:
    """List our own names."""
    machine = call.machine
    call.lines(f"\nLocal Area Connection:\nNode IpAddress: [{machine.address}] Scope Id: []\n\n"
               "                NetBIOS Local Name Table\n\n       Name               Type         Status\n"
               "    ---------------------------------------------\n"
               f"    {machine.name[:15]:<15}<00>  UNIQUE      Registered\n"
               f"    {machine.workgroup[:15]:<15}<00>  GROUP       Registered\n"
               f"    {machine.name[:15]:<15}<20>  UNIQUE      Registered\n")  # fmt: skip
    return 0


TABLE: dict[str, Command] = {
    "ipconfig": ipconfig, "netstat": netstat, "arp": arp, "route": route, "getmac": getmac, "ping": ping,
    "nslookup": nslookup, "tracert": tracert, "pathping": tracert, "netsh": netsh, "nbtstat": nbtstat,
}  # fmt: skip
