"""The pretended registry: what it says, what is changed in it, and its limits; and reg.exe, which reads it."""

from __future__ import annotations

import pytest

from eudaemon.wire import Purse
from eudaemon.world.seed import Seed
from eudaemon.world.windows import registry
from eudaemon.world.windows.machine import Windows
from eudaemon.world.windows.registry import CHANGE_BYTES_MAX, CHANGES_MAX, DWORD, SZ, Registry, shown, value
from world.windows.told import Told

MACHINE = Windows(Seed(b"test"), server=True)
KEY = "HKEY_LOCAL_MACHINE\\SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion"


def new(bytes_max: int = 1 << 20) -> Registry:
    return Registry(MACHINE, Purse(bytes_max))


def test_what_is_there_is_found_without_regard_to_capitals_and_says_what_the_machine_says() -> None:
    found = new()
    assert found.find(KEY.upper()) == KEY
    assert found.find(KEY + "\\nothing") is None
    held = found.value(KEY.lower(), "PRODUCTNAME")
    assert held is not None
    assert (held[0], shown(held)) == (SZ, MACHINE.release.name)
    assert found.keys("HKEY_LOCAL_MACHINE\\SYSTEM\\CurrentControlSet") == ["Control", "Services"]
    everything = [one for key in registry._built(MACHINE) for one in found.values(key).values()]
    assert len(everything) > 250
    assert all(shown(one) is not None for one in everything)


def test_the_boot_key_is_hidden_in_classes() -> None:
    lsa = "HKEY_LOCAL_MACHINE\\SYSTEM\\CurrentControlSet\\Control\\Lsa"
    classes = [new().class_of(f"{lsa}\\{name}") for name in ("JD", "Skew1", "GBG", "Data")]
    assert len({*classes}) == 4
    assert all(len(bytes.fromhex(one)) == 4 for one in classes)
    assert new().class_of(lsa) == new().class_of(f"{KEY}\\Data") == ""


def test_what_is_written_is_there_until_it_is_removed_and_for_its_own_client() -> None:
    found, key = new(), KEY + "\\Run"
    assert found.put(key, "Evil", value("cmd /c x"))
    assert found.put(key, "evil", value(7))  # the same value
    assert found.values(key) == {"evil": (DWORD, b"\7\0\0\0")}
    assert found.keys(KEY)[-1] == "Winlogon"
    assert "Run" in found.keys(KEY)
    assert not found.remove(KEY)  # which is not empty
    assert found.remove_value(key, "EVIL")
    assert not found.remove_value(key, "EVIL")
    assert found.remove(key)
    assert found.find(key) is None
    assert found.remove(KEY + "\\Winlogon")
    assert "Winlogon" not in found.keys(KEY)
    assert new().find(KEY + "\\Winlogon")


def test_limits() -> None:
    found = new()
    assert found.put(KEY, "x", (3, bytes(CHANGE_BYTES_MAX)))
    assert not found.put(KEY, "y", (3, bytes(CHANGE_BYTES_MAX + 1)))
    assert [found.create(f"{KEY}\\{number}") for number in range(CHANGES_MAX)] == [True] * (CHANGES_MAX - 1) + [False]
    purse = Purse(10_000)
    poor = Registry(MACHINE, purse)
    assert not poor.put(KEY, "x", (3, bytes(5000)))
    assert poor.value(KEY, "x") is None
    assert purse.bytes_taken <= 10_000


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('reg query "HKLM\\SOFTWARE\\Microsoft\\Windows NT\\CurrentVersion" /v PathName', "REG_SZ    C:\\Windows"),
        ("reg query HKLM\\SYSTEM\\CurrentControlSet\\Control\\Lsa", "    NoLmHash    REG_DWORD    0x1\r\n"),
        ("reg query HKLM", "HKEY_LOCAL_MACHINE\\SOFTWARE\r\n"),
        ("reg query HKCU\\Environment", "    TEMP    REG_EXPAND_SZ    %USERPROFILE%"),
        ("reg query HKLM\\SOFTWARE\\nothing", "ERROR: The system was unable to find"),
        ("reg query HKLM\\SYSTEM\\Select /v nothing", "ERROR: The system was unable to find"),
    ],
)  # fmt: skip
def test_reg_exe_reads_it(line: str, said: str) -> None:
    assert said in Told().run(line)
