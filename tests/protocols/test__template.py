"""The template of a room, read aloud."""

from __future__ import annotations

import pytest

from eudaemon.protocols import _template as room
from eudaemon.testing.script import Table, play, visit

LOGIN = r"""
< +OK {host} ready\r\n
> USER root\r\n
< +OK\r\n
> PASS toor\r\n
< -ERR [AUTH] Authentication failed\r\n
! login.tried user='root' password='toor' accepted=False
> QUIT\r\n
< +OK\r\n
/ over
"""

OUT_OF_ORDER = r"""
< +OK {host} ready\r\n
> PASS toor\r\n
< -ERR unknown command\r\n
> USER a\r\nUSER b\r\n
< +OK\r\n
< -ERR unknown command\r\n
> quit\r\nUSER c\r\n
< +OK\r\n
/ over
"""


@pytest.mark.parametrize("split", [0, 1])
@pytest.mark.parametrize("script", [LOGIN, OUT_OF_ORDER])
def test_a_conversation(script: str, split: int) -> None:
    given = visit()
    play(room.Template, script.replace("{host}", given.host.name), split=split, given=given)


def test_as_many_logins_as_allowed_and_not_one_more() -> None:
    table = Table(room.Template(visit())).open()
    for _ in range(room.LOGINS_MAX - 1):
        table.say(b"USER a\r\nPASS b\r\n")
    assert not table.fault
    table.say(b"USER a\r\nPASS b\r\n")
    assert "logins" in table.fault


def test_a_line_as_long_as_allowed_and_not_one_more() -> None:
    table = Table(room.Template(visit())).open()
    table.say(b"USER ".ljust(room.LINE_BYTES_MAX, b"a") + b"\r\n")
    assert not table.fault
    table.say(b"USER ".ljust(room.LINE_BYTES_MAX + 1, b"a") + b"\r\n")
    assert "line over" in table.fault
