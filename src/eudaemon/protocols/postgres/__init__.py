"""PostgreSQL 9.6 to 14 whose administrator has a weak password: programs, libraries and files through SQL.

`messages` is the protocol, `server` who answers, `catalogue` what it tells of itself, `large` its large objects,
`functions`, `copying` and `statements` what can be said, `session` what it works on, `room` the connection.
"""

from eudaemon.protocols.postgres.room import Postgres

__all__ = ["Postgres"]
