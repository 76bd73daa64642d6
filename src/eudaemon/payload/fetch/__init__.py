"""Getting what payloads name: http, https, ftp, tftp, SSH, SMB, rcp, Redis replication, LDAP and RMI as Java asks them,
plain TCP, worms' own ways.

The pieces, in the order in which a download meets them: `service` (turns, rates, sharing), `target` (resolve once,
judge, pin), one of `http`, `ftp`, `tftp`, `ssh`, `smb`, `rcp`, `redis`, `ldap`, `rmi`, `link`, `raw` (the protocol),
and `transfer` (what it may cost and what it brought).
"""
