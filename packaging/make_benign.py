"""Record what real clients say, for `src/eudaemon/evidence/benign.json`: signatures are tried against it.

Each client is run once against a server on loopback that says what such a server says first, and then listens. A client
that is not installed here keeps what was recorded of it before.
"""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import threading
from pathlib import Path

CORPUS = Path(__file__).resolve().parents[1] / "src" / "eudaemon" / "evidence" / "benign.json"
QUIET_S = 0.5
CLIENT_S_MAX = 15
BYTES_MAX = 16 * 1024

HTTP = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
REDIS = b"+OK\r\n"
FTP = [b"220 ready\r\n", b"331 name\r\n", b"230 in\r\n", b"215 UNIX\r\n", b'257 "/"\r\n', *[b"221 bye\r\n"] * 2]
SMTP = [b"220 mx\r\n", b"250 mx\r\n", b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n", b"250 ok\r\n", b"221 bye\r\n"]
STARTTLS = [b"250 STARTTLS\r\n", b""]
_MAIL = "import smtplib as s; m=s.SMTP('127.0.0.1',{port}); m.sendmail('a@b','c@d','Subject: x\\n\\nHi')"
_FETCH = "import urllib.request as u; u.urlopen('http://127.0.0.1:{port}/a/b')"
SSH = b"SSH-2.0-OpenSSH_9.6\r\n"
LONG = "q=" + "a" * 600

# Client's command line ({port}); what the server says at once; what it says whenever the client has spoken.
CLIENTS: list[tuple[list[str], bytes, list[bytes]]] = [
    (["curl", "-s", "http://127.0.0.1:{port}/index.html?lang=en"], b"", [HTTP]),
    (["curl", "-s", "-d", LONG, "http://127.0.0.1:{port}/form"], b"", [HTTP]),
    (["curl", "-s", "-H", "Transfer-Encoding: chunked", "-d", LONG, "http://127.0.0.1:{port}/in"], b"", [HTTP]),
    (["curl", "-s", "-F", "text=some words", "http://127.0.0.1:{port}/upload"], b"", [HTTP]),
    (["curl", "-s", "-u", "user:secret", "-X", "PUT", "-d", "{}", "http://127.0.0.1:{port}/api/v1/x"], b"", [HTTP]),
    (["curl", "-s", "--http2-prior-knowledge", "http://127.0.0.1:{port}/"], b"", [b""]),
    (["curl", "-s", "-k", "https://127.0.0.1:{port}/"], b"", [b""]),
    (["wget", "-q", "-O", "-", "http://127.0.0.1:{port}/robots.txt"], b"", [HTTP]),
    (["git", "ls-remote", "http://127.0.0.1:{port}/project.git"], b"", [HTTP]),
    (["git", "ls-remote", "git://127.0.0.1:{port}/project.git"], b"", [b""]),
    (["redis-cli", "-p", "{port}", "SET", "key", "a value"], b"", [REDIS] * 3),
    (["redis-cli", "-p", "{port}", "LPUSH", "list", *map(str, range(200))], b"", [REDIS] * 3),
    (["ssh", "-o", "StrictHostKeyChecking=no", "-p", "{port}", "127.0.0.1"], SSH, [b""]),
    (["psql", "-h", "127.0.0.1", "-p", "{port}", "-U", "me", "db"], b"", [b"N", b""]),
    (["openssl", "s_client", "-connect", "127.0.0.1:{port}"], b"", [b""]),
    (["openssl", "s_client", "-starttls", "smtp", "-connect", "127.0.0.1:{port}"], SMTP[0], STARTTLS),
    (["curl", "-s", "--user", "a:b", "ftp://127.0.0.1:{port}/"], FTP[0], FTP[1:]),
    ([sys.executable, "-c", _MAIL], SMTP[0], SMTP[1:]),
    ([sys.executable, "-c", _FETCH], b"", [HTTP]),
]  # fmt: skip


def record(command: list[str], greeting: bytes, answers: list[bytes]) -> bytes:
    """Run a client against a server of ours, and return what it has said."""
    heard = bytearray()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(CLIENT_S_MAX)
        port = server.getsockname()[1]
        listening = threading.Thread(target=_listen, args=(server, greeting, list(answers), heard))
        listening.start()
        words = [word.replace("{port}", str(port)) for word in command]
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, timeout=CLIENT_S_MAX, check=False)
        listening.join()
    return bytes(heard[:BYTES_MAX])


def _listen(server: socket.socket, greeting: bytes, answers: list[bytes], heard: bytearray) -> None:
    try:
        peer, _ = server.accept()
    except TimeoutError:
        return
    with peer:
        peer.settimeout(QUIET_S)
        peer.sendall(greeting)
        try:
            while got := peer.recv(65536):
                heard += got
                if not answers or len(heard) > BYTES_MAX:
                    return
                peer.sendall(answers.pop(0))
        except OSError:
            return


def main() -> int:
    """Record all, and write the file."""
    before = json.loads(CORPUS.read_text(encoding="ascii")) if CORPUS.exists() else {}
    found = {}
    for command, greeting, answers in CLIENTS:
        name = " ".join(["python3" if word == sys.executable else word for word in command])[:80]
        try:
            said = record(command, greeting, answers).hex()
        except FileNotFoundError:
            said = ""
        if said or name in before:
            found[name] = said or before[name]
        else:
            print(f"nothing was heard of: {name}", file=sys.stderr)
    CORPUS.write_text(json.dumps(found, indent=1) + "\n", encoding="ascii")
    return 0


if __name__ == "__main__":
    sys.exit(main())
