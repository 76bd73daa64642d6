"""Redis without a password, as the worms of the day look for it: 5.0, which still loads modules from anywhere.

`resp` reads requests, `commands` is the table of what can be said, `scripting` what of it is Lua (`lua_parser`, `lua`),
`server` is who answers, `attacks` is what is recognised in it, `room` is the connection.
"""

from eudaemon.protocols.redis.room import Redis

__all__ = ["Redis"]
