"""Users, their sessions, and tokens: who gets in, and for how long."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from eudaemon.farm import accounts as module
from eudaemon.farm.accounts import AccountError, Accounts, TooManyAttemptsError

PASSWORD = "correct horse battery"


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_795_487_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def accounts(tmp_path: Path, clock: Clock) -> Iterator[Accounts]:
    made = Accounts(tmp_path / "accounts.sqlite", clock=clock)
    made.set_password("admin", PASSWORD)
    yield made
    made.close()


def login(accounts: Accounts, password: str = PASSWORD, *, name: str = "admin", address: str = "192.0.2.1") -> str:
    return accounts.login(name, password, address=address)


def test_the_first_password_is_drawn_until_somebody_has_used_it(tmp_path: Path) -> None:
    accounts = Accounts(tmp_path / "a.sqlite")
    lost, password = accounts.first_start(), accounts.first_start()
    assert lost
    assert password
    assert lost != password
    assert len(password) >= 20
    with pytest.raises(AccountError):
        login(accounts, lost)
    assert accounts.user_of_session(login(accounts, password)) == "admin"
    assert accounts.first_start() is None
    accounts.close()


def test_the_file_is_nobody_else_s_and_holds_no_secret(tmp_path: Path, accounts: Accounts) -> None:
    session = login(accounts)
    _, token = accounts.create_token("admin", "script")
    accounts.close()
    file = tmp_path / "accounts.sqlite"
    assert file.stat().st_mode & 0o077 == 0
    with sqlite3.connect(file) as db:
        dump = "\n".join(db.iterdump())
    assert "admin" in dump
    for secret in (PASSWORD, session, token, PASSWORD.encode().hex(), session.encode().hex()):
        assert secret not in dump


def test_a_session_ends_by_logout_by_time_and_by_a_new_password(accounts: Accounts, clock: Clock) -> None:
    first, second, third = login(accounts), login(accounts), login(accounts)
    accounts.logout(first)
    assert [accounts.user_of_session(key) for key in (first, second)] == [None, "admin"]
    accounts.change_password("admin", PASSWORD, "another good password", address="192.0.2.1")
    assert accounts.user_of_session(third) is None
    fresh = login(accounts, "another good password")
    clock.now_s += module.SESSION_S_MAX - 1
    assert accounts.user_of_session(fresh) == "admin"
    clock.now_s += 2
    assert accounts.user_of_session(fresh) is None


@pytest.mark.parametrize(
    ("name", "password"),
    [("admin", "wrong"), ("nobody", PASSWORD), ("", ""), ("admin", ""), ("admin'--", PASSWORD), ("admin", "\ud800")],
)
def test_a_wrong_name_and_a_wrong_password_are_refused_alike(accounts: Accounts, name: str, password: str) -> None:
    with pytest.raises(AccountError, match=r"^User name or password is wrong\.$"):
        login(accounts, password, name=name)


def test_guessing_is_throttled_by_address_and_by_user(accounts: Accounts, clock: Clock) -> None:
    for number in range(module.FAILURES_MAX):
        with pytest.raises(AccountError):
            login(accounts, "wrong", name=f"user{number}")
    with pytest.raises(TooManyAttemptsError) as refused:  # even the right one: nothing is learned by trying on
        login(accounts)
    assert 0 < refused.value.wait_s <= module.FAILURE_WINDOW_S
    assert login(accounts, address="192.0.2.2")
    for number in range(module.FAILURES_MAX):
        with pytest.raises(AccountError):
            login(accounts, "wrong", address=f"198.51.100.{number}")
    with pytest.raises(TooManyAttemptsError):
        login(accounts, address="192.0.2.3")
    clock.now_s += module.FAILURE_WINDOW_S + 1
    assert login(accounts)


def test_what_is_remembered_of_failures_is_bounded(accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_THROTTLED_MAX", 4)
    for number in range(6):
        with pytest.raises(AccountError):
            login(accounts, "wrong", name=f"user{number}", address=f"198.51.100.{number}")
    assert len(accounts._failures) == 4


def test_sessions_are_bounded_and_the_oldest_go(
    accounts: Accounts, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SESSIONS_MAX", 2)
    keys = []
    for _ in range(3):
        keys.append(login(accounts))
        clock.now_s += 1
    assert [accounts.user_of_session(key) for key in keys] == [None, "admin", "admin"]


@pytest.mark.parametrize(
    ("name", "password"), [("", PASSWORD), ("x" * 65, PASSWORD), ("a\nb", PASSWORD), ("a", "short"), ("a", "x" * 257)]
)
def test_names_and_passwords_have_limits(accounts: Accounts, name: str, password: str) -> None:
    with pytest.raises(AccountError):
        accounts.set_password(name, password)


def test_a_token_works_until_it_is_revoked(accounts: Accounts, clock: Clock) -> None:
    token, key = accounts.create_token("admin", "script")
    assert accounts.tokens("admin")[0].used_s is None
    assert accounts.user_of_token(key) == "admin"
    assert accounts.tokens("admin")[0].used_s == clock.now_s
    assert accounts.user_of_token("eud_other") is None
    assert accounts.user_of_session(key) is None
    assert not accounts.revoke_token("somebody else", token.id)
    assert accounts.revoke_token("admin", token.id)
    assert accounts.user_of_token(key) is None


def test_tokens_are_bounded(accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TOKENS_MAX", 1)
    accounts.create_token("admin", "one")
    with pytest.raises(AccountError, match="Revoke one"):
        accounts.create_token("admin", "two")
    with pytest.raises(AccountError):
        accounts.create_token("admin", " ")
