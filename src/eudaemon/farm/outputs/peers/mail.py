"""Mail over SMTP (RFC 5321): one message for the notices that are told together."""

from __future__ import annotations

import contextlib
import hashlib
import smtplib
import socket
import ssl
from collections.abc import Sequence
from email import policy  # which the library imports late, and a confined farm may not
from email.message import EmailMessage
from email.utils import formatdate

from eudaemon.farm.outputs.batch import Item
from eudaemon.farm.outputs.peers import TIMEOUT_S, LaterError, RefusedError, clipped_answer
from eudaemon.farm.outputs.peers.stream import told, trusting, within
from eudaemon.farm.outputs.settings import Mail

SEND_S_MAX = 60.0  # for all of a conversation: a server that drips meets each shorter limit


class MailServer:
    """A mail server that takes mail from us."""

    items_max, pause_s = 1_000, 1.0

    def __init__(self, settings: Mail) -> None:
        self._settings = settings
        self._context: ssl.SSLContext | None = trusting(settings.ca_file) if settings.security != "none" else None
        self._smtp: smtplib.SMTP | None = None

    def fits(self, _: Item) -> bool:
        """See `Peer`."""
        return True

    def send(self, items: Sequence[Item]) -> str:
        """See `Peer`."""
        try:
            with within(SEND_S_MAX, self.close):
                return self._send(self._message(items))
        except smtplib.SMTPDataError as error:
            if error.smtp_code >= 500:
                raise RefusedError(_answer(error.smtp_code, error.smtp_error)) from None
            raise LaterError(_answer(error.smtp_code, error.smtp_error)) from None
        except smtplib.SMTPResponseException as error:
            raise LaterError(_answer(error.smtp_code, error.smtp_error)) from None
        except smtplib.SMTPRecipientsRefused as error:
            said = [f"{who}: {_answer(code, why)}" for who, (code, why) in error.recipients.items()]
            raise LaterError("; ".join(said)[:300]) from None
        except (OSError, smtplib.SMTPException) as error:
            raise LaterError(f"{self._settings.host}: {clipped_answer(told(error))}") from None
        finally:
            self.close()
            self._smtp = None

    def close(self) -> None:
        """See `Peer`."""
        opened = self._smtp.sock if self._smtp is not None else None
        if opened is not None:
            with contextlib.suppress(OSError):
                opened.shutdown(socket.SHUT_RDWR)

    def _send(self, message: EmailMessage) -> str:
        settings = self._settings
        tls = settings.security == "tls"
        smtp = smtplib.SMTP_SSL(timeout=TIMEOUT_S, context=self._context) if tls else smtplib.SMTP(timeout=TIMEOUT_S)
        self._smtp = smtp
        smtp._host = settings.host  # type: ignore[attr-defined]  # the name for TLS, which only the constructor sets
        smtp.connect(settings.host, settings.port)
        if settings.security == "starttls":
            smtp.starttls(context=self._context)
        if settings.user:
            smtp.login(settings.user, settings.password)
        refused = smtp.send_message(message)
        with contextlib.suppress(smtplib.SMTPException, OSError):
            smtp.quit()
        taken = len(settings.recipients) - len(refused)
        return f"taken for {taken} of {len(settings.recipients)} recipients"

    def _message(self, items: Sequence[Item]) -> EmailMessage:
        settings, text = self._settings, b"\n".join(item.data for item in items)
        message = EmailMessage(policy.SMTP)
        message["From"], message["To"] = settings.sender, ", ".join(settings.recipients)
        message["Subject"] = f"Honeypot: {len(items)} notices" if len(items) > 1 else "Honeypot: a notice"
        message["Date"] = formatdate()
        # The same notices again are the same message: a mailbox may see that it has it.
        name = hashlib.sha256(text).hexdigest()[:32]
        message["Message-ID"] = f"<{name}@{settings.sender.rpartition('@')[2]}>"
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's absence answers it
        message.set_content(text.decode() + "\n", cte="quoted-printable")
        return message


def _answer(code: int, said: bytes | str) -> str:
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
    return clipped_answer(f"{code} {text}")
