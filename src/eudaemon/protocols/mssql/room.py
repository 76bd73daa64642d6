"""The connection: PRELOGIN, a login, then batches and calls, each answered with a message of tokens."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from eudaemon.protocols._accounts import admits
from eudaemon.protocols._base import Claim, EndTls, Keep, Order, Send, Visit
from eudaemon.protocols._broken import broken_off
from eudaemon.protocols._database import FACT_CHARS_MAX, DatabaseRoom, entered, tried
from eudaemon.protocols._passwords import accepts
from eudaemon.protocols._sql.query import Result
from eudaemon.protocols._sql.tokens import SqlError
from eudaemon.protocols._sql.values import text
from eudaemon.protocols._work import Work
from eudaemon.protocols.mssql import answers, tds
from eudaemon.protocols.mssql.answers import Form, Said
from eudaemon.protocols.mssql.batch import Batch, call
from eudaemon.protocols.mssql.calls import Call, call_of
from eudaemon.protocols.mssql.logins import Login, login7, old_login
from eudaemon.protocols.mssql.procedures import Arguments, Outcome
from eudaemon.protocols.mssql.server import ADMINISTRATORS, Server, said_of, server_of
from eudaemon.protocols.mssql.session import Session
from eudaemon.wire import PeerError

PREPARED_MAX = 64
BATCH_BYTES_MAX = 1024 * 1024  # of one answer: what the statements give that come when it is as long is not told


class MsSql(DatabaseRoom[tuple[int, bytes]]):
    """One client's connection. A message is its type and its body."""

    name: ClassVar[str] = "mssql"

    __slots__ = ("_form", "_login_alone", "_prepared", "_reader", "_session")

    def __init__(self, visit: Visit) -> None:
        super().__init__(visit)
        self._reader = tds.MessageReader(visit.purse)
        self._session: Session | None = None
        self._form = Form(tds.TDS_72, "")
        self._prepared: list[bytes] = []
        self._login_alone = False  # whether TLS ends behind the login

    @property
    def server(self) -> Server:
        """Who answers."""
        return server_of(self.visit.host)

    @classmethod
    def claim(cls, first: bytes) -> Claim:
        """A PRELOGIN or a login in one packet or the first of several."""
        if first[:1] not in (b"\x12", b"\x10", b"\x02") or (len(first) > 1 and first[1] not in (0, 1)):
            return Claim.NO
        return Claim.YES if len(first) >= 8 and first[:1] == b"\x12" and first[4:6] == b"\0\0" else Claim.UNSURE

    def feed(self, data: bytes) -> tuple[tuple[int, bytes], bytes] | None:
        """See `DatabaseRoom`."""
        return self._reader.feed(data)

    def left(self) -> Iterator[Keep]:
        """See `DatabaseRoom`."""
        if self._session is not None:
            yield from self._session.left()
            yield from broken_off(self._reader.held, "batch")

    def message(self, message: tuple[int, bytes], at_s: float) -> Iterator[Order]:
        """See `DatabaseRoom`."""
        (kind, body), session = message, self._session
        if kind == tds.ATTENTION:
            yield from self._say(self._form.done(answers.ATTENTION))
        elif kind == tds.PRELOGIN and session is None:
            yield from self._begin(body)
        elif kind == tds.LOGIN7 and session is None:
            yield from self._login(login7(body), at_s)
        elif kind == tds.OLD_LOGIN and session is None:
            yield from self._old(old_login(body))
        elif session is None:
            raise PeerError(f"a message of type {kind} before a login")
        elif kind == tds.BATCH:
            session.at_s = at_s
            yield from session.worker.start(self._batch(session, body), at_s)
        elif kind == tds.RPC:
            session.at_s = at_s
            asked = call_of(body, has_headers=self._reader.has_headers)
            yield from session.worker.start(self._call(session, asked), at_s)
        else:
            yield from self._say(self._form.done(answers.ERROR))

    def _begin(self, body: bytes) -> Iterator[Order]:
        """Answer a PRELOGIN. A client that is told of encryption begins it at once."""
        encryption, begins = tds.agreed(body, can=self.may_start_tls, forces=self.server.forces_tls)
        yield from self._say(tds.prelogin(body, self.server.version, encryption))
        if begins:
            self.start_tls(tds.Handshake())
            self._login_alone = encryption == tds.OFF

    # --- the login -----------------------------------------------------------------------------------

    def _login(self, login: Login, at_s: float) -> Iterator[Order]:
        server = self.server
        self._form = Form(min(login.version, server.tds), server.name)
        self._reader.has_headers = self._form.version >= tds.TDS_72
        user = login.user
        if login.is_windows:
            user = login.user or "(Windows)"
        name, password = login.user.encode("utf-8", "replace"), login.password.encode("utf-8", "replace")
        must_encipher = server.forces_tls and self.may_start_tls
        right = not login.is_windows and not must_encipher and accepts(server.seed, ADMINISTRATORS, name, password)
        accepted = admits(self.visit, name.lower(), password, right=right, accounts=self.name)
        yield tried(user.encode(), login.password.encode(), accepted=accepted)
        if must_encipher:  # whoever cannot is let go without a word
            yield from self.hang_up()
            return
        if self._login_alone:
            yield EndTls()
        if login.is_windows:
            yield from self._refuse(Said(18452,
            "Login failed. The login is from an untrusted domain and cannot be used with "
                                         "Windows authentication.", 14))  # fmt: skip
            return
        if not accepted:
            yield from self._refuse(Said(18456, f"Login failed for user '{login.user}'.", 14))
            return
        self._session = session = Session(self.visit, server, login.user.encode("utf-8", "replace"), at_s)
        self.worker = session.worker
        session.client, session.program = login.host, login.program
        if login.database:
            try:
                session.use(login.database.encode("utf-8", "replace"))
            except SqlError:
                yield from self._refuse(Said(4060,
                f'Cannot open database "{login.database}" requested by the login. The '
                                             "login failed.", 11))  # fmt: skip
                return
        yield from self._say(self._form.welcome(server.version, session.database.decode("utf-8", "replace")))

    def _old(self, login: Login) -> Iterator[Order]:
        yield tried(login.user.encode(), login.password.encode(), accepted=False)
        self._form = Form(login.version, self.server.name)
        yield from self._refuse(Said(18456, f"Login failed for user '{login.user}'.", 14))

    def _refuse(self, said: Said) -> Iterator[Order]:
        yield from self._say(self._form.said(said) + self._form.done(answers.ERROR))
        yield from self.hang_up()

    # --- batches and calls -----------------------------------------------------------------------------

    def _batch(self, session: Session, sql: bytes) -> Work:
        yield entered(sql[: 4 * FACT_CHARS_MAX].strip())
        yield from self._told(session, lambda: Batch(session, sql).run(), answers.DONE)

    def _call(self, session: Session, asked: Call) -> Work:
        yield entered(
            b" ".join(filter(None, (asked.procedure.encode(), *(text(one.value)[:2048] for one in asked.parameters))))
        )
        yield from self._told(session, lambda: self._called(session, asked), answers.DONE_PROC)

    def _called(self, session: Session, asked: Call) -> Any:
        """Carry out a call; those of prepared statements are reduced to sp_executesql."""
        name = asked.procedure.encode("utf-8", "replace")
        given = Arguments(
            [one.value for one in asked.parameters if not one.name],
            {one.name.lower().encode("utf-8", "replace"): one.value for one in asked.parameters if one.name},
        )
        plain = name.lower()
        if plain in (b"sp_prepexec", b"sp_prepare"):
            statement = Arguments([given.get(2, b"@stmt"), given.get(1, b"@params"), *given.values[3:]], given.named)
            if len(self._prepared) < PREPARED_MAX:
                self._prepared.append(text(statement.values[0])[:65_536])
            if plain == b"sp_prepexec":
                yield from call(session, (b"sp_executesql",), statement)
            yield ("output", len(self._prepared))
        elif plain == b"sp_execute":
            number = given.values[0] if given.values and isinstance(given.values[0], int) else 0
            if 0 < number <= len(self._prepared):
                sql = self._prepared[int(number) - 1]
                yield from call(session, (b"sp_executesql",), Arguments([sql, sql, *given.values[1:]], given.named))
        else:
            yield (yield from call(session, tuple(plain.split(b".")), given))

    def _told(self, session: Session, begin: Any, kind: int) -> Work:
        """Carry out work and put what it tells into one message; orders and commands are passed on."""
        session.begin()
        out = bytearray()
        answer: Any = None
        try:
            steps = begin()
            while True:
                told = steps.send(answer)
                answer = None
                if isinstance(told, Result | Outcome | Said | tuple):
                    if len(out) < BATCH_BYTES_MAX:
                        out += self._tokens(session, told)
                else:
                    answer = yield told
        except StopIteration:
            out += self._form.returned(0) if kind == answers.DONE_PROC else b""
            out += self._form.done(kind=kind)
        except SqlError as error:
            out += self._form.said(said_of(error)) + self._form.done(answers.ERROR, kind=kind)
        session.forget_variables()
        yield from self._say(bytes(out))

    def _tokens(self, session: Session, told: Any) -> bytes:
        """Return what is told of a result, before the end."""
        form, more = self._form, answers.MORE | answers.COUNT
        if isinstance(told, Said):
            return form.said(told)
        if isinstance(told, tuple):
            if told[0] == "output":
                return form.output("", int(told[1]))
            return form.database(session.database.decode("utf-8", "replace"), told[1].decode("utf-8", "replace"))
        if isinstance(told, Outcome):
            out = b"".join(form.said(said) for said in told.messages)
            for result in told.results:
                rows, count = form.rows(result.columns or [], result.rows)
                out += rows + form.done(more, count, kind=answers.DONE_IN_PROC, command=answers.SELECT_COMMAND)
            return out + form.returned(told.status) + form.done(answers.MORE, kind=answers.DONE_PROC)
        if told.columns is None:
            return form.done(more, told.changed)
        rows, count = form.rows(told.columns, told.rows)
        return rows + form.done(more, count, command=answers.SELECT_COMMAND)

    def _say(self, body: bytes) -> Iterator[Order]:
        yield Send(tds.packets(body, self._session.spid if self._session is not None else 0))
