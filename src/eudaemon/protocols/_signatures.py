"""What a conversation's first bytes look like: one row a signature, each with the source of its bytes. The first that
fits names them. Owns no verdict on whether the guess is right.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

Row: TypeAlias = tuple[str, str, int, bytes]  # guess, transports (`t` TCP, `u` UDP, both), offset, bytes there

ROWS: tuple[Row, ...] = (
    # --- encrypted, and remote control ---
    ("tls", "t", 0, b"\x16\x03"),  # RFC 8446 section 5.1: handshake record
    ("dtls", "u", 0, b"\x16\xfe"),  # RFC 9147 section 4
    ("ssh", "t", 0, b"SSH-"),  # RFC 4253 section 4.2
    ("s7", "t", 11, b"\xc0\x01\x0a"),  # ISO 8073 connection request with TPDU size 1024, as Siemens' S7 sends it
    ("s7", "t", 11, b"\xc1\x02"),  # the same, calling TSAP first
    ("rdp", "t", 5, b"\xe0\x00\x00"),  # MS-RDPBCGR 2.2.1.1: X.224 connection request in TPKT
    ("vnc", "t", 0, b"RFB 0"),  # RFC 6143 section 7.1.1
    ("adb", "t", 0, b"CNXN"),  # AOSP adb/protocol.txt: A_CNXN
    ("x11", "t", 0, b"l\x00\x0b\x00"),  # X11 protocol, connection setup, little-endian
    ("radmin", "t", 0, b"\x01\x00\x00\x00\x01\x00\x00\x00\x08\x08"),  # nmap-service-probes, Radmin
    ("wireguard", "u", 0, b"\x01\x00\x00\x00"),  # wireguard.com/protocol: handshake initiation
    ("openvpn", "u", 0, b"\x38"),  # OpenVPN: P_CONTROL_HARD_RESET_CLIENT_V2 << 3
    ("ike", "u", 16, b"\x21\x20\x22\x08\x00\x00\x00\x00"),  # RFC 7296 section 3.1: IKE_SA_INIT
    ("ike", "u", 16, b"\x01\x10\x02\x00"),  # RFC 2408 section 3.1: main mode
    # --- files and directories ---
    ("smb", "t", 4, b"\xffSMB"),  # MS-CIFS 2.2.3.1 after a NetBIOS header
    ("smb", "t", 4, b"\xfeSMB"),  # MS-SMB2 2.2.1
    ("netbios-session", "t", 0, b"\x81\x00\x00"),  # RFC 1002 section 4.3.2
    ("dce-rpc", "t", 0, b"\x05\x00\x0b"),  # C706 section 12.6: bind
    ("ldap", "t", 0, b"\x30\x0c\x02\x01\x01\x60"),  # RFC 4511 section 4.2: anonymous bind
    ("ldap", "t", 0, b"\x30\x84\x00\x00\x00"),  # the same as Windows encodes it
    ("cldap", "u", 0, b"\x30\x84\x00\x00\x00"),  # MS-ADTS 6.3.3
    ("rsync", "t", 0, b"@RSYNCD:"),  # rsync csprotocol.txt
    # --- databases and queues ---
    ("mssql", "t", 0, b"\x12\x01\x00"),  # MS-TDS 2.2.6.5: PRELOGIN
    ("mysql", "t", 3, b"\x01\x85\xa6"),  # MySQL HandshakeResponse41: usual capabilities
    ("postgresql", "t", 4, b"\x00\x03\x00\x00"),  # PostgreSQL protocol 3.0: StartupMessage
    ("postgresql", "t", 0, b"\x00\x00\x00\x08\x04\xd2\x16\x2f"),  # SSLRequest
    ("mongodb", "t", 12, b"\xd4\x07\x00\x00"),  # MongoDB wire protocol: OP_QUERY
    ("mongodb", "t", 12, b"\xdd\x07\x00\x00"),  # OP_MSG
    ("oracle", "t", 4, b"\x01\x00\x00\x00\x01"),  # TNS connect packet
    ("redis", "t", 0, b"*1\r\n$"),  # RESP: array of one
    ("redis", "t", 0, b"*2\r\n$"),
    ("redis", "t", 0, b"*3\r\n$"),
    ("redis", "t", 0, b"*4\r\n$"),
    ("memcached", "tu", 0, b"stats\r\n"),  # memcached doc/protocol.txt
    ("memcached", "t", 0, b"version\r\n"),
    ("memcached", "u", 8, b"stats\r\n"),  # the same behind its UDP frame header
    ("openwire", "t", 5, b"ActiveMQ"),  # ActiveMQ OpenWire: WIREFORMAT_INFO
    ("openwire", "t", 4, b"\x1f\x00\x00\x00"),  # ExceptionResponse, of CVE-2023-46604
    ("amqp", "t", 0, b"AMQP"),  # AMQP 0-9-1 section 4.2.2
    ("mqtt", "t", 2, b"\x00\x04MQTT"),  # MQTT 3.1.1 section 3.1
    ("mqtt", "t", 2, b"\x00\x06MQIsdp"),  # MQTT 3.1
    ("kafka", "t", 4, b"\x00\x12\x00"),  # Kafka protocol: ApiVersions request
    ("zookeeper", "t", 0, b"ruok"),  # ZooKeeper, four-letter words
    # --- media and things ---
    ("rtsp", "t", 0, b"OPTIONS rtsp:"),  # RFC 7826
    ("rtsp", "t", 0, b"DESCRIBE rtsp:"),
    ("rtsp", "t", 0, b"OPTIONS / RTSP"),
    ("sip", "tu", 0, b"OPTIONS sip:"),  # RFC 3261
    ("sip", "tu", 0, b"REGISTER sip:"),
    ("sip", "tu", 0, b"INVITE sip:"),
    ("ssdp", "u", 0, b"M-SEARCH"),  # UPnP Device Architecture 1.1 section 1.3.2
    ("coap", "u", 0, b"\x40\x01"),  # RFC 7252 section 3: confirmable GET
    ("modbus", "t", 2, b"\x00\x00\x00\x06"),  # Modbus TCP: protocol 0, six bytes follow
    ("bacnet", "u", 0, b"\x81\x0a\x00"),  # ASHRAE 135 annex J
    ("dahua", "t", 0, b"\xa0\x01\x00\x00"),  # Dahua's login on 37777 (CVE-2013-6117)
    ("xmeye", "t", 0, b"\xff\x00\x00\x00\x00\x00\x00\x00"),  # Xiongmai's NetIP on 34567
    ("netis-backdoor", "u", 0, b"AA\x00\x00AAAA"),  # Netis/Netcore on 53413
    ("winbox", "t", 0, b"\x12\x02index"),  # MikroTik Winbox on 8291
    # --- proxies and peers ---
    ("socks5", "t", 0, b"\x05\x01\x00"),  # RFC 1928 section 3
    ("socks5", "t", 0, b"\x05\x02\x00"),
    ("socks4", "t", 0, b"\x04\x01"),  # SOCKS4: CONNECT
    ("bittorrent", "t", 0, b"\x13BitTorrent protocol"),  # BEP 3
    ("bittorrent-dht", "u", 0, b"d1:ad2:id20:"),  # BEP 5
    ("bitcoin", "t", 0, b"\xf9\xbe\xb4\xd9"),  # Bitcoin: magic of the main network
    ("stratum", "t", 0, b'{"id":1,"jsonrpc":"2.0","method":"login"'),  # mining pools
    # --- small services that are abused to amplify ---
    ("ntp", "u", 0, b"\x17\x00\x03\x2a"),  # ntpd mode 7: monlist
    ("ntp", "u", 0, b"\x1b\x00\x00\x00"),  # RFC 5905: client, version 3
    ("ntp", "u", 0, b"\xe3\x00"),
    ("netbios-name", "u", 12, b"\x20CKAAAAAAA"),  # RFC 1002 section 4.2.12: node status
    ("snmp", "u", 2, b"\x02\x01\x00\x04"),  # RFC 1157: version 1 and a community
    ("snmp", "u", 2, b"\x02\x01\x01\x04"),  # RFC 1901: version 2c
    ("snmp", "u", 2, b"\x02\x01\x03\x30"),  # RFC 3412: version 3
    ("portmap", "tu", 12, b"\x00\x01\x86\xa0"),  # RFC 1833: program 100000
    ("portmap", "t", 16, b"\x00\x01\x86\xa0"),  # behind a record mark
    ("ipmi", "u", 0, b"\x06\x00\xff\x07"),  # RMCP, class IPMI
    ("mdns", "u", 12, b"\x09_services\x07_dns-sd"),  # RFC 6763 section 9
    ("quake", "u", 0, b"\xff\xff\xff\xffget"),  # Quake 3 and Source engine queries
    ("source-query", "u", 0, b"\xff\xff\xff\xffTSource"),
    # --- files, sent as they are ---
    ("java-serialised", "t", 0, b"\xac\xed\x00\x05"),  # Java Object Serialization, section 6.4.2
    ("java-rmi", "t", 0, b"JRMI"),  # Java RMI wire protocol, section 10.2
    ("jdwp", "t", 0, b"JDWP-Handshake"),  # Java Debug Wire Protocol
    ("t3", "t", 0, b"t3 "),  # WebLogic T3
    ("giop", "t", 0, b"GIOP"),  # CORBA section 15.4.1
    ("ajp", "t", 0, b"\x12\x34"),  # Apache JServ Protocol 1.3
    ("elf", "tu", 0, b"\x7fELF"),
    ("pe", "tu", 0, b"MZ"),
    ("zip", "tu", 0, b"PK\x03\x04"),
    ("gzip", "tu", 0, b"\x1f\x8b\x08"),  # RFC 1952
    ("script", "tu", 0, b"#!"),
    ("php", "tu", 0, b"<?php"),
    ("xml", "tu", 0, b"<?xml"),
    ("proxy-protocol", "t", 0, b"PROXY TCP"),  # haproxy, proxy-protocol.txt
    ("smtp", "t", 0, b"EHLO "),  # RFC 5321
    ("smtp", "t", 0, b"HELO "),
    ("ftp", "t", 0, b"USER "),  # RFC 959 (and POP3)
    ("telnet", "t", 0, b"\xff\xfd"),  # RFC 854
    ("telnet", "t", 0, b"\xff\xfb"),
)
HEAD_BYTES = 64  # as many first bytes as any verdict needs

_SHELL_WORDS = frozenset(
    b"cd wget curl tftp ftpget busybox sh bash chmod rm cat echo uname id ls ps kill mkdir enable system shell su sudo "
    b"export printf nc whoami".split()
)


def looks_like(head: bytes, transport: str) -> str:
    """Return what the first bytes look like, or `unknown`. `transport` is `tcp` or `udp`."""
    letter = transport[:1]
    for guess, transports, offset, mark in ROWS:
        if letter in transports and head.startswith(mark, offset):
            return guess
    return next((guess for guess, fits in _SHAPES if fits(head, letter)), "unknown")


def looks_like_shell(text: bytes) -> bool:
    """Say whether a text begins as commands for a shell do."""
    words = text.lstrip(b" \t\r\n;&|").split(None, 1)
    return bool(words) and words[0].rstrip(b";&|").rpartition(b"/")[2] in _SHELL_WORDS


def _http(head: bytes, letter: str) -> bool:
    method, _, target = head.partition(b" ")
    known = 2 < len(method) < 12 and method.isalpha() and method.isupper()
    return letter == "t" and known and target.startswith((b"/", b"http", b"*"))


def _dns(head: bytes, letter: str) -> bool:
    """RFC 1035 section 4.1.1: one question, no answers; a standard query. Over TCP a length comes first."""
    header = head[2:] if letter == "t" else head
    return len(header) >= 17 and header[2] & 0xF8 == 0 and header[4:8] == b"\x00\x01\x00\x00"


def _json(head: bytes, _letter: str) -> bool:
    return head.lstrip()[:1] in (b"{", b"[") and b'"' in head


def _text(head: bytes, _letter: str) -> bool:
    return bool(head) and not head.translate(None, bytes((9, 10, 13)) + bytes(range(32, 127)))


_SHAPES: tuple[tuple[str, Callable[[bytes, str], bool]], ...] = (
    ("http", _http),
    ("shell", lambda head, _letter: looks_like_shell(head)),
    ("dns", _dns),
    ("json", _json),
    ("text", _text),
    ("zeros", lambda head, _letter: bool(head) and not head.strip(b"\0")),
)
