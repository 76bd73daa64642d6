"""DES (FIPS 46-3), one block at a time: as the logins of VNC and of NTLM's first version need it.

Its permutations are lists of bit numbers, counted from 1 at the most significant, as in the standard. Who tries many
keys keeps their schedules.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TypeAlias

Schedule: TypeAlias = "tuple[int, ...]"
_INITIAL = tuple(start - 8 * step for start in (58, 60, 62, 64, 57, 59, 61, 63) for step in range(8))
_FINAL = tuple(_INITIAL.index(bit) + 1 for bit in range(1, 65))
_MIX = (
    16, 7, 20, 21, 29, 12, 28, 17, 1, 15, 23, 26, 5, 18, 31, 10, 2, 8, 24, 14, 32, 27, 3, 9, 19, 13, 30, 6, 22,
    11, 4, 25,
)  # fmt: skip
_CHOICE_1 = (
    57, 49, 41, 33, 25, 17, 9, 1, 58, 50, 42, 34, 26, 18, 10, 2, 59, 51, 43, 35, 27, 19, 11, 3, 60, 52, 44, 36,
    63, 55, 47, 39, 31, 23, 15, 7, 62, 54, 46, 38, 30, 22, 14, 6, 61, 53, 45, 37, 29, 21, 13, 5, 28, 20, 12, 4,
)  # fmt: skip
_CHOICE_2 = (
    14, 17, 11, 24, 1, 5, 3, 28, 15, 6, 21, 10, 23, 19, 12, 4, 26, 8, 16, 7, 27, 20, 13, 2,
    41, 52, 31, 37, 47, 55, 30, 40, 51, 45, 33, 48, 44, 49, 39, 56, 34, 53, 46, 42, 50, 36, 29, 32,
)  # fmt: skip
_SHIFTS = (1, 1, 2, 2, 2, 2, 2, 2, 1, 2, 2, 2, 2, 2, 2, 1)
# The eight boxes, four rows of sixteen hexadecimal digits each.
_BOXES = (
    "e4d12fb83a6c5907 0f74e2d1a6cb9538 41e8d62bfc973a50 fc8249175b3ea06d",
    "f18e6b34972dc05a 3d47f28ec01a69b5 0e7ba4d158c6932f d8a13f42b67c05e9",
    "a09e63f51dc7b428 d709346a285ecbf1 d6498f30b12c5ae7 1ad069874fe3b52c",
    "7de3069a1285bc4f d8b56f03472c1ae9 a690cb7df13e5284 3f06a1d8945bc72e",
    "2c417ab6853fd0e9 eb2c47d150fa3986 421bad78f9c5630e b8c71e2d6f09a453",
    "c1af92680d34e75b af427c9561de0b38 9ef528c3704a1db6 432c95fabe17608d",
    "4b2ef08d3c975a61 d0b7491ae35c2f86 14bdc37eaf680592 6bd814a7950fe23c",
    "d2846fb1a93e50c7 1fd8a374c56b0e92 7b419ce206adf358 21e74a8dfc90356b",
)


def encrypt(key: bytes, block: bytes) -> bytes:
    """Return eight bytes enciphered under eight."""
    return encrypted(schedule(key), block)


def encrypted(keys: Schedule, block: bytes) -> bytes:
    """Return eight bytes enciphered under a key, given by its schedule."""
    bits = _permuted(int.from_bytes(block, "big"), 64, _INITIAL)
    left, right = bits >> 32, bits & 0xFFFF_FFFF
    one, two, three, four, five, six, seven, eight = _mixed_boxes()
    for key in keys:
        # Each box gets four bits of its own and one of either neighbour's.
        wide = (right & 1) << 33 | right << 1 | right >> 31
        left, right = right, left ^ (
            one[(wide >> 28 ^ key >> 42) & 63] ^ two[(wide >> 24 ^ key >> 36) & 63]
            ^ three[(wide >> 20 ^ key >> 30) & 63] ^ four[(wide >> 16 ^ key >> 24) & 63]
            ^ five[(wide >> 12 ^ key >> 18) & 63] ^ six[(wide >> 8 ^ key >> 12) & 63]
            ^ seven[(wide >> 4 ^ key >> 6) & 63] ^ eight[(wide ^ key) & 63]
        )  # fmt: skip
    return _permuted(right << 32 | left, 64, _FINAL).to_bytes(8, "big")


def _permuted(value: int, width: int, order: tuple[int, ...]) -> int:
    out = 0
    for bit in order:
        out = out << 1 | (value >> (width - bit) & 1)
    return out


@lru_cache(maxsize=1)
def _mixed_boxes() -> tuple[tuple[int, ...], ...]:
    """Return the boxes by all six bits that go in, each output where the permutation behind them puts it."""
    found = []
    for number, digits in enumerate(_BOXES):
        rows = digits.replace(" ", "")
        outputs = []
        for given in range(64):
            row, column = (given >> 4 & 2) | (given & 1), given >> 1 & 15
            outputs.append(_permuted(int(rows[16 * row + column], 16) << (28 - 4 * number), 32, _MIX))
        found.append(tuple(outputs))
    return tuple(found)


def schedule(key: bytes) -> Schedule:
    """Return the sixteen keys of the rounds that follow from eight bytes."""
    chosen = _permuted(int.from_bytes(key, "big"), 64, _CHOICE_1)
    left, right = chosen >> 28, chosen & 0xFFF_FFFF
    keys = []
    for shift in _SHIFTS:
        left, right = ((half << shift | half >> (28 - shift)) & 0xFFF_FFFF for half in (left, right))
        keys.append(_permuted(left << 28 | right, 56, _CHOICE_2))
    return tuple(keys)
