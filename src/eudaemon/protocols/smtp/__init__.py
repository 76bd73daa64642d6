"""The room that pretends to be a mail server (SMTP, RFC 5321).

Owns the dialogue up to the message, which it keeps and accepts for anybody anywhere; commands that exploits of mail
servers carry go to the pretended shell. Refuses to send anything on: nothing that it takes is delivered.
"""

from eudaemon.protocols.smtp.room import Smtp

__all__ = ["Smtp"]
