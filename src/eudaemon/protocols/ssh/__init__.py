"""SSH 2 as Dropbear or OpenSSH speaks it, with the pretended host's shell and files behind. RFC 4250 to 4254.

    products      which server is pretended: its identification and lists
    transport     identification, key exchange, packets; `agreement`, `keys`, `packets`, `primitives` serve it
    login         passwords and public keys
    connection    channels and their windows; `programs` is what runs in them
    room          puts these together

The primitives are the library `cryptography`'s: 9 MiB, which a sensor that nobody speaks SSH with does without.
"""

from eudaemon.protocols.ssh.room import Ssh

__all__ = ["Ssh"]
