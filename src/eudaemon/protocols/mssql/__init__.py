"""Microsoft SQL Server 2008 to 2019 whose `sa` has a weak password: commands, OLE automation, assemblies.

`tds` is the protocol, `logins` and `calls` what comes in it, `answers` what goes out, `server` who answers, `batch`
what Transact-SQL does, `procedures` and `automation` what its procedures do, `session` what all work on, `room` the
connection.
"""

from eudaemon.protocols.mssql.room import MsSql

__all__ = ["MsSql"]
