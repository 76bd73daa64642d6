"""The rooms: what pretends to be a service. Sans-I/O: bytes and the time go in; bytes, facts and wishes come out.

`ROOMS` is the one table of them. A room is loaded when its first peer comes, so that a router pays a row for one that
nobody looks for; see `_door`.
"""

from __future__ import annotations

from eudaemon.protocols._base import Room
from eudaemon.protocols._door import Door

ROOMS = {
    door.name: door
    for door in (
        Door("activemq", "eudaemon.protocols.activemq:ActiveMq", speaks_first=True, enciphers=False),
        Door("adb", "eudaemon.protocols.adb:Adb", enciphers=False),
        Door("backdoor", "eudaemon.protocols.backdoor:Backdoor", enciphers=False),
        Door("catchall", "eudaemon.protocols.catchall:CatchAll"),
        Door("cmd", "eudaemon.protocols.cmd:Cmd", speaks_first=True, enciphers=False),
        Door("distcc", "eudaemon.protocols.distcc:Distcc", enciphers=False),
        Door("dns", "eudaemon.protocols.dns:Dns"),
        Door("docker", "eudaemon.protocols.docker:Docker"),
        Door("elasticsearch", "eudaemon.protocols.elasticsearch:Elasticsearch", enciphers=False),
        Door("epmap", "eudaemon.protocols.epmap:Epmap", enciphers=False),
        Door("ftp", "eudaemon.protocols.ftp:Ftp", speaks_first=True),
        Door("git", "eudaemon.protocols.git:Git", enciphers=False),
        Door("http", "eudaemon.protocols.http:Http"),
        Door("imap", "eudaemon.protocols.imap:Imap", speaks_first=True),
        Door("ipp", "eudaemon.protocols.ipp:Ipp"),
        Door("java", "eudaemon.protocols.java:Java"),
        Door("jdwp", "eudaemon.protocols.jdwp:Jdwp", enciphers=False),
        Door("jenkins", "eudaemon.protocols.jenkins:Jenkins", enciphers=False),
        Door("kubelet", "eudaemon.protocols.kubelet:Kubelet"),
        Door("ldap", "eudaemon.protocols.ldap:Ldap"),
        Door("memcached", "eudaemon.protocols.memcached:Memcached", enciphers=False),
        Door("modbus", "eudaemon.protocols.modbus:Modbus", enciphers=False),
        Door("mongodb", "eudaemon.protocols.mongodb:MongoDb"),
        Door("mqtt", "eudaemon.protocols.mqtt:Mqtt"),
        Door("mssql", "eudaemon.protocols.mssql:MsSql", enciphers=False),
        Door("mysql", "eudaemon.protocols.mysql:MySql", speaks_first=True, enciphers=False),
        Door("netbios", "eudaemon.protocols.netbios:NetBios", enciphers=False),
        Door("ntp", "eudaemon.protocols.ntp:Ntp"),
        Door("pop3", "eudaemon.protocols.pop3:Pop3", speaks_first=True),
        Door("postgres", "eudaemon.protocols.postgres:Postgres", enciphers=False),
        Door("pptp", "eudaemon.protocols.pptp:Pptp", enciphers=False),
        Door("printer", "eudaemon.protocols.printer:Printer", enciphers=False),
        Door("proxy", "eudaemon.protocols.proxy:Proxy"),
        Door("rdp", "eudaemon.protocols.rdp:Rdp", enciphers=False),
        Door("redis", "eudaemon.protocols.redis:Redis", enciphers=False),
        Door("rocketmq", "eudaemon.protocols.rocketmq:RocketMq"),
        Door("rtsp", "eudaemon.protocols.rtsp:Rtsp"),
        Door("s7", "eudaemon.protocols.s7:S7", enciphers=False),
        Door("sh", "eudaemon.protocols.sh:Sh", enciphers=False),
        Door("sip", "eudaemon.protocols.sip:Sip"),
        Door("smartinstall", "eudaemon.protocols.smartinstall:SmartInstall", enciphers=False),
        Door("smb", "eudaemon.protocols.smb:Smb", enciphers=False),
        Door("smtp", "eudaemon.protocols.smtp:Smtp", speaks_first=True),
        Door("snmp", "eudaemon.protocols.snmp:Snmp", enciphers=False),
        Door("socks", "eudaemon.protocols.socks:Socks", enciphers=False),
        Door("ssh", "eudaemon.protocols.ssh:Ssh", speaks_first=True, needs=("cryptography",), enciphers=False),
        Door("telnet", "eudaemon.protocols.telnet:Telnet", speaks_first=True),
        Door("tftp", "eudaemon.protocols.tftp:Tftp"),
        Door("tr069", "eudaemon.protocols.tr069:Tr069"),
        Door("upnp", "eudaemon.protocols.upnp:Upnp", enciphers=False),
        Door("vnc", "eudaemon.protocols.vnc:Vnc", speaks_first=True, enciphers=False),
        Door("yarn", "eudaemon.protocols.yarn:Yarn", enciphers=False),
    )
}


def load(name: str) -> type[Room]:
    """Return the room of that name. Raises `KeyError` for a name that is not in `ROOMS`."""
    return ROOMS[name].load()
