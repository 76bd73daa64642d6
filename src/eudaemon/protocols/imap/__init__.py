"""The room that pretends to be mailboxes with IMAP (RFC 3501).

Owns logins, and an INBOX that is empty or drawn; messages that are put there are kept. Changes nothing that the next
session would see.
"""

from eudaemon.protocols.imap.room import Imap

__all__ = ["Imap"]
