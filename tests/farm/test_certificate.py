"""The farm's certificate: made once, for its eyes only, and what a client that pins it sees."""

from __future__ import annotations

import hashlib
import socket
import ssl
import threading
from pathlib import Path

from cryptography import x509

from eudaemon.farm.certificate import certificate


def test_it_is_made_once_and_only_its_owner_reads_the_key(tmp_path: Path) -> None:
    made = certificate(tmp_path)
    assert certificate(tmp_path) == made
    assert made.key_path.stat().st_mode & 0o777 == 0o600
    parsed = x509.load_pem_x509_certificate(made.path.read_bytes())
    assert 3600 < (parsed.not_valid_after_utc - parsed.not_valid_before_utc).days < 3700
    assert "eudaemon" not in parsed.subject.rfc4514_string().lower()


def test_a_client_sees_the_certificate_of_the_fingerprint(tmp_path: Path) -> None:
    made = certificate(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            accepted, _ = listening.accept()
            with made.context().wrap_socket(accepted, server_side=True) as tls:
                tls.recv(1)

        server = threading.Thread(target=answer)
        server.start()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with socket.create_connection(listening.getsockname()) as plain, context.wrap_socket(plain) as tls:
            der = tls.getpeercert(binary_form=True)
            assert der is not None
            assert hashlib.sha256(der).hexdigest() == made.fingerprint
            assert tls.version() == "TLSv1.3"
        server.join()
