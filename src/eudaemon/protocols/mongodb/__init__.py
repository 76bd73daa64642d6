"""MongoDB 4.4 to 6.0 without authentication, as ransom's bots look for it: what they read, drop and leave behind.

`bson` is how documents are written, `messages` how they travel, `server` who answers, `collections` what is stored,
`commands` what can be said, `room` the connection.
"""

from eudaemon.protocols.mongodb.room import MongoDb

__all__ = ["MongoDb"]
