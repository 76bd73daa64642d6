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
        Door("activemq", "eudaemon.protocols.activemq:ActiveMq", speaks_first=True),
        Door("adb", "eudaemon.protocols.adb:Adb"),
        Door("backdoor", "eudaemon.protocols.backdoor:Backdoor"),
        Door("catchall", "eudaemon.protocols.catchall:CatchAll"),
        Door("cmd", "eudaemon.protocols.cmd:Cmd", speaks_first=True, plain=True),
        Door("distcc", "eudaemon.protocols.distcc:Distcc"),
        Door("dns", "eudaemon.protocols.dns:Dns"),
        Door("docker", "eudaemon.protocols.docker:Docker"),
        Door("elasticsearch", "eudaemon.protocols.elasticsearch:Elasticsearch"),
        Door("epmap", "eudaemon.protocols.epmap:Epmap", plain=True),
        Door("ftp", "eudaemon.protocols.ftp:Ftp", speaks_first=True),
        Door("git", "eudaemon.protocols.git:Git", plain=True),
        Door("http", "eudaemon.protocols.http:Http"),
        Door("imap", "eudaemon.protocols.imap:Imap", speaks_first=True),
        Door("ipp", "eudaemon.protocols.ipp:Ipp"),
        Door("java", "eudaemon.protocols.java:Java"),
        Door("jdwp", "eudaemon.protocols.jdwp:Jdwp"),
        Door("jenkins", "eudaemon.protocols.jenkins:Jenkins"),
        Door("kubelet", "eudaemon.protocols.kubelet:Kubelet"),
        Door("ldap", "eudaemon.protocols.ldap:Ldap"),
        Door("memcached", "eudaemon.protocols.memcached:Memcached"),
        Door("modbus", "eudaemon.protocols.modbus:Modbus", plain=True),
        Door("mongodb", "eudaemon.protocols.mongodb:MongoDb"),
        Door("mqtt", "eudaemon.protocols.mqtt:Mqtt"),
        Door("mssql", "eudaemon.protocols.mssql:MsSql", plain=True),
        Door("mysql", "eudaemon.protocols.mysql:MySql", speaks_first=True),
        Door("netbios", "eudaemon.protocols.netbios:NetBios"),
        Door("ntp", "eudaemon.protocols.ntp:Ntp"),
        Door("pop3", "eudaemon.protocols.pop3:Pop3", speaks_first=True),
        Door("postgres", "eudaemon.protocols.postgres:Postgres"),
        Door("pptp", "eudaemon.protocols.pptp:Pptp", plain=True),
        Door("printer", "eudaemon.protocols.printer:Printer"),
        Door("proxy", "eudaemon.protocols.proxy:Proxy"),
        Door("rdp", "eudaemon.protocols.rdp:Rdp", plain=True),
        Door("redis", "eudaemon.protocols.redis:Redis"),
        Door("rocketmq", "eudaemon.protocols.rocketmq:RocketMq"),
        Door("rtsp", "eudaemon.protocols.rtsp:Rtsp"),
        Door("s7", "eudaemon.protocols.s7:S7", plain=True),
        Door("sh", "eudaemon.protocols.sh:Sh", plain=True),
        Door("sip", "eudaemon.protocols.sip:Sip"),
        Door("smartinstall", "eudaemon.protocols.smartinstall:SmartInstall", plain=True),
        Door("smb", "eudaemon.protocols.smb:Smb", plain=True),
        Door("smtp", "eudaemon.protocols.smtp:Smtp", speaks_first=True),
        Door("snmp", "eudaemon.protocols.snmp:Snmp", plain=True),
        Door("socks", "eudaemon.protocols.socks:Socks"),
        Door("ssh", "eudaemon.protocols.ssh:Ssh", speaks_first=True, needs=("cryptography",)),
        Door("telnet", "eudaemon.protocols.telnet:Telnet", speaks_first=True),
        Door("tftp", "eudaemon.protocols.tftp:Tftp"),
        Door("tr069", "eudaemon.protocols.tr069:Tr069"),
        Door("upnp", "eudaemon.protocols.upnp:Upnp"),
        Door("vnc", "eudaemon.protocols.vnc:Vnc", speaks_first=True),
        Door("yarn", "eudaemon.protocols.yarn:Yarn"),
    )
}


def load(name: str) -> type[Room]:
    """Return the room of that name. Raises `KeyError` for a name that is not in `ROOMS`."""
    return ROOMS[name].load()
