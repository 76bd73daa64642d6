"""impacket's SMB server: like dionaea's in Python, and it installs from its package, which dionaea no longer does.

It lets in who knows the password, and gives `srvsvc` at IPC$ and a folder as C$. Its settings are its own, but for the
number of connections that may wait to be accepted, which is five.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sensor_process import free_ports, listens
from smb_load import WORDS

SERVE = """
import sys
from impacket.ntlm import compute_lmhash, compute_nthash
from impacket.smbserver import SMBSERVER, SimpleSMBServer
port, folder, user, password = sys.argv[1:]
SMBSERVER.request_queue_size = 1024
SMBSERVER.daemon_threads = True
server = SimpleSMBServer("127.0.0.1", int(port))
server.setSMB2Support(True)
server.addShare("C$", folder)
server.addCredential(user, 0, compute_lmhash(password).hex(), compute_nthash(password).hex())
server.start()
"""


@contextmanager
def impacket() -> Iterator[tuple[int, int]]:
    """Run it; yield (port, process id)."""
    with tempfile.TemporaryDirectory(prefix="impacket-") as place, Path(place, "log").open("wb") as log:
        share = Path(place, "share")
        share.joinpath("Windows").mkdir(parents=True)
        (port,) = free_ports(1)
        arguments = [str(port), str(share), *(word.decode() for word in WORDS.values())]
        process = subprocess.Popen([sys.executable, "-c", SERVE, *arguments], stdout=log, stderr=log)
        try:
            while not listens(port):
                if process.poll() is not None:
                    raise SystemExit(f"impacket's server did not start:\n{Path(place, 'log').read_text()[-2000:]}")
                time.sleep(0.05)
            yield port, process.pid
        finally:
            process.terminate()
            process.wait(20)
