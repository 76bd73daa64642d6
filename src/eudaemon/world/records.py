"""What stands in the pretended firm's databases: names, tables and rows, all drawn from the installation's seed.

Shared by the rooms that are databases. People, mails and hashes are made up; nothing of it opens anything.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from eudaemon.world.personas import words
from eudaemon.world.seed import Seed

Cell: TypeAlias = "int | float | str"
ROWS_MIN, ROWS_DRAWN = 12, 90

_FIRST = words("anna ben carla david elena frank grace hugo irina jonas karin luis maria nils olga paul rosa stefan "
               "tanja victor wei yusuf zoe amir chloe dmitri emma felix")  # fmt: skip
_LAST = words("becker costa dubois evans fischer garcia hansen ivanov jansen kowalski larsen meyer novak olsen "
              "petrov rossi schmidt tanaka ueda vargas weber young zhang moreau lindqvist silva")  # fmt: skip
_DOMAINS = words("gmail.com outlook.com yahoo.com gmx.net web.de hotmail.com proton.me icloud.com")
_THINGS = words("adapter battery bracket cable camera charger cover drive fan filter hinge keyboard lamp monitor "
                "mouse panel printer router scanner sensor speaker stand switch tablet valve")  # fmt: skip
_STATES = words("open paid shipped cancelled refunded pending")
_DATABASES = words("shop store crm erp billing inventory orders customers accounting members booking payroll "
                   "webshop clients backoffice helpdesk")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Drawn:
    """One table. Each column has its name and its kind: `int`, `float`, `text` or `date`."""

    columns: tuple[tuple[str, str], ...]
    rows: tuple[tuple[Cell, ...], ...]


def _date(seed: Seed, key: str) -> str:
    draw = seed.number(key, 6 * 336)
    year, day = divmod(draw, 336)
    clock = seed.number(key + " clock", 86_400)
    hour, minute = f"{clock // 3600:02d}", f"{clock // 60 % 60:02d}"
    return f"{2017 + year}-{1 + day // 28:02d}-{1 + day % 28:02d} {hour}:{minute}:{clock % 60:02d}"


_KINDS: dict[str, tuple[str, Callable[[Seed, str, int], Cell]]] = {
    "id": ("int", lambda _seed, _key, row: row),
    "name": ("text", lambda seed, key, _row: f"{seed.choice(key, _FIRST)} {seed.choice(key + 'l', _LAST)}".title()),
    "login": ("text", lambda seed, key, _row: f"{seed.choice(key, _FIRST)}.{seed.choice(key + 'l', _LAST)}"),
    "mail": ("text", lambda seed, key, _row: f"{seed.choice(key, _FIRST)}.{seed.choice(key + 'l', _LAST)}"
                                            f"{seed.number(key + 'n', 99)}@{seed.choice(key + 'd', _DOMAINS)}"),
    "hash": ("text", lambda seed, key, _row: seed.bytes(key, 16).hex()),
    "phone": ("text", lambda seed, key, _row: f"+49{seed.number(key, 10**9):09d}"),
    "thing": ("text", lambda seed, key, _row: f"{seed.choice(key, _THINGS)} {seed.number(key + 'n', 900) + 100}"),
    "state": ("text", lambda seed, key, _row: seed.choice(key, _STATES)),
    "money": ("float", lambda seed, key, _row: seed.number(key, 90_000) / 100 + 5),
    "count": ("int", lambda seed, key, _row: seed.number(key, 400)),
    "other": ("int", lambda seed, key, _row: 1 + seed.number(key, ROWS_MIN)),
    "date": ("date", lambda seed, key, _row: _date(seed, key)),
}  # fmt: skip
_TABLES: tuple[tuple[tuple[str, ...], str], ...] = (
    (("users", "accounts", "members"), "id:id username:login email:mail password:hash created_at:date"),
    (("customers", "clients", "contacts"), "id:id name:name email:mail phone:phone since:date"),
    (("orders", "invoices", "bookings"), "id:id customer_id:other total:money status:state created_at:date"),
    (("products", "items", "articles"), "id:id title:thing price:money stock:count"),
    (("payments", "transactions"), "id:id order_id:other amount:money status:state paid_at:date"),
)


def databases(seed: Seed) -> dict[str, dict[str, Drawn]]:
    """Return the firm's databases: one or two, by name, each with its tables."""
    found: dict[str, dict[str, Drawn]] = {}
    for number in range(1 + seed.number("databases", 2)):
        name = seed.choice(f"database {number}", _DATABASES)
        if name not in found:
            found[name] = {}
            for names, columns in _TABLES[: 3 + seed.number(f"tables {number}", 3)]:
                table = seed.choice(f"table {number} {names[0]}", names)
                found[name][table] = _table(seed.child(f"rows {number} {table}"), columns)
    return found


def _table(seed: Seed, columns: str) -> Drawn:
    kinds = [(column, *_KINDS[kind]) for column, _, kind in (word.partition(":") for word in columns.split())]
    rows = range(1, 1 + ROWS_MIN + seed.number("count", ROWS_DRAWN))
    return Drawn(
        tuple((name, kind) for name, kind, _ in kinds),
        tuple(tuple(make(seed, f"{name} {row}", row) for name, _, make in kinds) for row in rows),
    )
