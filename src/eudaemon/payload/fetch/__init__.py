"""Getting what payloads name: http, https, ftp, tftp, Redis replication, LDAP and
RMI as Java asks them, and plain TCP, within policy and limits.

The pieces, in the order in which a download meets them: `service` (turns, rates, sharing), `target` (resolve once,
judge, pin), one of `http`, `ftp`, `tftp`, `redis`, `ldap`, `rmi`, `raw` (the protocol), and `transfer` (what it may
cost and what it brought).
"""
