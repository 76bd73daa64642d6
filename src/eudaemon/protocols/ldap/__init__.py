"""A company's directory, as OpenLDAP serves it on port 389: who binds with what, what is searched for, and entries.

`directory` is what it holds, `filters` is which of it a search means, `messages` the protocol, `room` the dialogue.
"""

from eudaemon.protocols.ldap.room import Ldap

__all__ = ["Ldap"]
