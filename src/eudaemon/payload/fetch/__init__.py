"""Getting what payloads name: http, https, ftp, tftp, smb, rcp, Redis replication, plain TCP and what worms make of it.

The pieces, in the order in which a download meets them: `service` (turns, rates, sharing), `target` (resolve once,
judge, pin), one of `http`, `ftp`, `tftp`, `smb`, `rcp`, `redis`, `link`, `raw` (the protocol), and `transfer` (what it
may cost and what it brought).
"""
