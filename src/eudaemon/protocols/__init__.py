"""The rooms: what pretends to be a service. Sans-I/O: bytes and the time go in; bytes, facts and wishes come out.

`ROOMS` is the one table of them. A room is loaded when a setting first names it, so that a router pays for
no room that it does not open.
"""

from __future__ import annotations

from importlib import import_module

from eudaemon.protocols._base import Room

ROOMS = {
    "activemq": "eudaemon.protocols.activemq:ActiveMq",
    "adb": "eudaemon.protocols.adb:Adb",
    "backdoor": "eudaemon.protocols.backdoor:Backdoor",
    "catchall": "eudaemon.protocols.catchall:CatchAll",
    "dns": "eudaemon.protocols.dns:Dns",
    "docker": "eudaemon.protocols.docker:Docker",
    "epmap": "eudaemon.protocols.epmap:Epmap",
    "ftp": "eudaemon.protocols.ftp:Ftp",
    "http": "eudaemon.protocols.http:Http",
    "imap": "eudaemon.protocols.imap:Imap",
    "jenkins": "eudaemon.protocols.jenkins:Jenkins",
    "kubelet": "eudaemon.protocols.kubelet:Kubelet",
    "ldap": "eudaemon.protocols.ldap:Ldap",
    "memcached": "eudaemon.protocols.memcached:Memcached",
    "mongodb": "eudaemon.protocols.mongodb:MongoDb",
    "mqtt": "eudaemon.protocols.mqtt:Mqtt",
    "mssql": "eudaemon.protocols.mssql:MsSql",
    "mysql": "eudaemon.protocols.mysql:MySql",
    "ntp": "eudaemon.protocols.ntp:Ntp",
    "pop3": "eudaemon.protocols.pop3:Pop3",
    "postgres": "eudaemon.protocols.postgres:Postgres",
    "printer": "eudaemon.protocols.printer:Printer",
    "rdp": "eudaemon.protocols.rdp:Rdp",
    "redis": "eudaemon.protocols.redis:Redis",
    "rtsp": "eudaemon.protocols.rtsp:Rtsp",
    "sip": "eudaemon.protocols.sip:Sip",
    "smb": "eudaemon.protocols.smb:Smb",
    "smtp": "eudaemon.protocols.smtp:Smtp",
    "ssh": "eudaemon.protocols.ssh:Ssh",
    "telnet": "eudaemon.protocols.telnet:Telnet",
    "tftp": "eudaemon.protocols.tftp:Tftp",
    "tr069": "eudaemon.protocols.tr069:Tr069",
    "upnp": "eudaemon.protocols.upnp:Upnp",
    "vnc": "eudaemon.protocols.vnc:Vnc",
    "yarn": "eudaemon.protocols.yarn:Yarn",
}


def load(name: str) -> type[Room]:
    """Return the room of that name. Raises `KeyError` for a name that is not in `ROOMS`."""
    module, _, attribute = ROOMS[name].partition(":")
    room: type[Room] = getattr(import_module(module), attribute)
    return room
