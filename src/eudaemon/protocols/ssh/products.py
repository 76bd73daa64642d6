"""Which SSH server is pretended, as data: one row a product, with the lists that its source has by default.

From Dropbear's `common-algo.c` and `options.h`, and OpenSSH's `myproposal.h`, `sshd.c` and `channels.h`, each at the
tag of that version. What an installation's owner decides (which host keys were made) is drawn from the seed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

from eudaemon.world.host import Host

STRICT = "kex-strict-s-v00@openssh.com"
# What the lists hold that is no algorithm.
MARKERS = frozenset((STRICT, "kexguess2@matt.ucc.asn.au"))


@dataclass(frozen=True, slots=True)
class Product:
    """One version of one server."""

    software: str  # as in its identification, after `SSH-2.0-`
    kex: tuple[str, ...]
    host_keys: tuple[tuple[str, ...], ...]  # the lists of which one is drawn
    ciphers: tuple[str, ...]
    macs: tuple[str, ...]
    compression: tuple[str, ...]
    methods: tuple[str, ...] = ("publickey", "password")  # of logging in
    tries_max: int = 10
    hasty: bool = True  # whether its KEXINIT does not wait for the client's identification
    clear_padding: bool = False  # whether packets are padded with zeros before there are keys
    window_bytes: int = 24_576
    packet_bytes: int = 32_768
    signatures: tuple[str, ...] = ()  # which it says that it takes, to who asks (RFC 8308)
    mismatch: bytes = b""  # to who does not speak SSH
    too_old: bytes = b""  # to who speaks another version of it
    too_many: bytes = b""  # to who tried too often
    no_forwarding: tuple[int, bytes] = (2, b"")  # reason and words to who wants a connection elsewhere (RFC 4254, 5.1)


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_CURVES = _words("ecdh-sha2-nistp521 ecdh-sha2-nistp384 ecdh-sha2-nistp256")
_GUESS = "kexguess2@matt.ucc.asn.au"
_OLD_KEYS = (("ecdsa-sha2-nistp521", "ssh-rsa"), ("ecdsa-sha2-nistp256", "ssh-rsa"))
_NEW_KEYS = (_words("ssh-ed25519 ecdsa-sha2-nistp256 rsa-sha2-256 ssh-rsa"), _words("ssh-ed25519 rsa-sha2-256 ssh-rsa"))

_DROPBEAR_2014 = Product(
    "dropbear_2014.63",
    ("curve25519-sha256@libssh.org", *_CURVES, "diffie-hellman-group1-sha1", "diffie-hellman-group14-sha1", _GUESS),
    _OLD_KEYS,
    _words("aes128-ctr 3des-ctr aes256-ctr aes128-cbc 3des-cbc aes256-cbc twofish256-cbc twofish-cbc twofish128-cbc"),
    _words("hmac-sha1-96 hmac-sha1 hmac-md5"),
    ("zlib@openssh.com", "none"),
)
_DROPBEAR_2016 = replace(
    _DROPBEAR_2014,
    software="dropbear_2016.74",
    kex=("curve25519-sha256@libssh.org", *_CURVES, "diffie-hellman-group14-sha1", "diffie-hellman-group1-sha1", _GUESS),
    ciphers=_words(
        "aes128-ctr aes256-ctr aes128-cbc aes256-cbc twofish256-cbc twofish-cbc twofish128-cbc 3des-ctr 3des-cbc"
    ),
    macs=_words("hmac-sha1-96 hmac-sha1 hmac-sha2-256 hmac-sha2-512 hmac-md5"),
)
_DROPBEAR_2017 = replace(_DROPBEAR_2016, software="dropbear_2017.75")
_DROPBEAR_2018 = replace(
    _DROPBEAR_2014,
    software="dropbear_2018.76",
    kex=("curve25519-sha256", "curve25519-sha256@libssh.org", *_CURVES, "diffie-hellman-group14-sha256",
         "diffie-hellman-group14-sha1", _GUESS),
    ciphers=_words("aes128-ctr aes256-ctr aes128-cbc aes256-cbc 3des-ctr 3des-cbc"),
    macs=_words("hmac-sha1-96 hmac-sha1 hmac-sha2-256"),
)  # fmt: skip
_DROPBEAR_2020 = replace(
    _DROPBEAR_2018,
    software="dropbear_2020.81",
    host_keys=_NEW_KEYS,
    ciphers=_words("chacha20-poly1305@openssh.com aes128-ctr aes256-ctr"),
    macs=_words("hmac-sha1 hmac-sha2-256"),
    signatures=_words("ssh-ed25519 ecdsa-sha2-nistp256 ecdsa-sha2-nistp384 ecdsa-sha2-nistp521 rsa-sha2-256 ssh-rsa "
                      "ssh-dss"),
)  # fmt: skip
_DROPBEAR_2022 = replace(
    _DROPBEAR_2020,
    software="dropbear_2022.83",
    signatures=_words("ssh-ed25519 sk-ssh-ed25519@openssh.com ecdsa-sha2-nistp256 ecdsa-sha2-nistp384 "
                      "ecdsa-sha2-nistp521 sk-ecdsa-sha2-nistp256@openssh.com rsa-sha2-256 ssh-rsa"),
)  # fmt: skip
_DROPBEAR_2024 = replace(_DROPBEAR_2022, software="dropbear_2024.86", kex=(*_DROPBEAR_2020.kex, STRICT))

_OPENSSH_7_1 = Product(
    "OpenSSH_7.1",
    _words("curve25519-sha256@libssh.org ecdh-sha2-nistp256 ecdh-sha2-nistp384 ecdh-sha2-nistp521 "
           "diffie-hellman-group-exchange-sha256 diffie-hellman-group14-sha1"),
    (_words("ssh-rsa ecdsa-sha2-nistp256 ssh-ed25519"),),
    _words("chacha20-poly1305@openssh.com aes128-ctr aes192-ctr aes256-ctr aes128-gcm@openssh.com "
           "aes256-gcm@openssh.com"),
    _words("umac-64-etm@openssh.com umac-128-etm@openssh.com hmac-sha2-256-etm@openssh.com "
           "hmac-sha2-512-etm@openssh.com hmac-sha1-etm@openssh.com umac-64@openssh.com umac-128@openssh.com "
           "hmac-sha2-256 hmac-sha2-512 hmac-sha1"),
    ("none", "zlib@openssh.com"),
    methods=("publickey", "password", "keyboard-interactive"),
    tries_max=6,
    hasty=False,
    clear_padding=True,
    window_bytes=64 * 32_768,
    mismatch=b"Protocol mismatch.\n",
    too_old=b"Protocol major versions differ.\n",
    too_many=b"Too many authentication failures",
    no_forwarding=(1, b"open failed"),
)  # fmt: skip
_OPENSSH_7_4 = replace(
    _OPENSSH_7_1,
    software="OpenSSH_7.4",
    kex=_words("curve25519-sha256 curve25519-sha256@libssh.org ecdh-sha2-nistp256 ecdh-sha2-nistp384 "
               "ecdh-sha2-nistp521 diffie-hellman-group-exchange-sha256 diffie-hellman-group16-sha512 "
               "diffie-hellman-group18-sha512 diffie-hellman-group14-sha256 diffie-hellman-group14-sha1"),
    host_keys=(_words("ssh-rsa rsa-sha2-512 rsa-sha2-256 ecdsa-sha2-nistp256 ssh-ed25519"),),
    signatures=("rsa-sha2-256", "rsa-sha2-512"),
)  # fmt: skip
_OPENSSH_7_9 = replace(
    _OPENSSH_7_4,
    software="OpenSSH_7.9",
    host_keys=(_words("rsa-sha2-512 rsa-sha2-256 ssh-rsa ecdsa-sha2-nistp256 ssh-ed25519"),),
    signatures=_words("ssh-ed25519 ssh-rsa rsa-sha2-256 rsa-sha2-512 ssh-dss ecdsa-sha2-nistp256 ecdsa-sha2-nistp384 "
                      "ecdsa-sha2-nistp521"),
)  # fmt: skip
_OPENSSH_8_4 = replace(
    _OPENSSH_7_9,
    software="OpenSSH_8.4",
    kex=_OPENSSH_7_9.kex[:-1],
    mismatch=b"Invalid SSH identification string.\r\n",
    too_old=b"Protocol major versions differ.\r\n",
    signatures=_words("ssh-ed25519 sk-ssh-ed25519@openssh.com ssh-rsa rsa-sha2-256 rsa-sha2-512 ssh-dss "
                      "ecdsa-sha2-nistp256 ecdsa-sha2-nistp384 ecdsa-sha2-nistp521 "
                      "sk-ecdsa-sha2-nistp256@openssh.com"),
)  # fmt: skip

PRODUCTS = (
    _DROPBEAR_2014, _DROPBEAR_2016, _DROPBEAR_2017, _DROPBEAR_2018, _DROPBEAR_2020, _DROPBEAR_2022, _DROPBEAR_2024,
    _OPENSSH_7_1, _OPENSSH_7_4, _OPENSSH_7_9, _OPENSSH_8_4,
)  # fmt: skip
_OF_THE_TIME = (_DROPBEAR_2014, _DROPBEAR_2016, _DROPBEAR_2017, _DROPBEAR_2018)
_LATER = (_DROPBEAR_2018, _DROPBEAR_2020, _DROPBEAR_2022, _DROPBEAR_2024)
_LARGE = (_OPENSSH_7_1, _OPENSSH_7_4, _OPENSSH_7_9, _OPENSSH_8_4)
# Persona: what such devices run. Small ones have Dropbear; those not named here have one of their time.
_RUN = {"storage": _LARGE, "firewall": _LARGE, "workstation": _LARGE, "gateway": _LATER, "access-point": _LATER,
        "linux-server": (_OPENSSH_7_9, _OPENSSH_8_4)}  # fmt: skip


@lru_cache(maxsize=8)
def product_of(host: Host) -> Product:
    """Return the server that this host runs, with the one list of host keys that it has."""
    seed = host.seed.child("ssh")
    product = seed.choice("product", _RUN.get(host.persona.name, _OF_THE_TIME))
    return replace(product, host_keys=(seed.choice("host keys", product.host_keys),))
