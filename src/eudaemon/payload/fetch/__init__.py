"""Getting what payloads name: http, https, ftp, tftp, SSH, SMB, rcp, Redis replication, plain TCP, worms' own ways.

The pieces, in the order in which a download meets them: `service` (turns, rates, sharing), `target` (resolve once,
judge, pin), one of `http`, `ftp`, `tftp`, `ssh`, `smb`, `rcp`, `redis`, `link`, `raw` (the protocol), and `transfer`
(what it may cost and what it brought).
"""
