"""The farm's own certificate. Sensors pin it by its fingerprint, so nobody else has to vouch for it."""

from __future__ import annotations

import hashlib
import os
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

YEARS = 10


@dataclass(frozen=True, slots=True)
class Certificate:
    """Where certificate and key lie, and the SHA-256 of the certificate's DER, hexadecimal."""

    path: Path
    key_path: Path
    fingerprint: str

    def context(self) -> ssl.SSLContext:
        """Return a server's TLS settings with this certificate: TLS 1.2 and newer."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self.path, self.key_path)
        return context


def certificate(folder: Path) -> Certificate:
    """Return the certificate in a folder; it is made when there is none."""
    path, key_path = folder / "farm.crt", folder / "farm.key"
    if not path.exists():
        _make(path, key_path)
    der = ssl.PEM_cert_to_DER_cert(path.read_text(encoding="ascii"))
    return Certificate(path, key_path, hashlib.sha256(der).hexdigest())


def _make(path: Path, key_path: Path) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    # A name that says nothing: whoever scans the ports shall not read what this is.
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=365 * YEARS))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    # The key first: a certificate without its key, after a crash in between, would be found and not work.
    _write(
        key_path,
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )
    _write(path, made.public_bytes(serialization.Encoding.PEM))


def _write(path: Path, data: bytes) -> None:
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    new.rename(path)
