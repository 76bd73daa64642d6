"""Microsoft SQL Server 2008 to 2019 whose `sa` has a weak password: commands, OLE automation, assemblies.

`tds` is the protocol, `logins` and `calls` what comes in it, `answers` what goes out, `server` who answers, `flow` how
a batch of Transact-SQL goes on, `batch` and `definitions` what its statements do, `procedures` and `automation` what
its procedures do, `session` what all work on, `room` the connection.
"""

from eudaemon.protocols.mssql.room import MsSql

__all__ = ["MsSql"]
