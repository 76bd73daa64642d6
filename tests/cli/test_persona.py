"""`eudaemon persona`: the list, what a seed makes of one, and a file of one's own with the line that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from eudaemon import persona_file
from eudaemon.cli import main
from eudaemon.settings import SettingsError
from eudaemon.world.host import Host
from eudaemon.world.personas import BY_NAME, PERSONAS
from eudaemon.world.seed import Seed

WRONG = {
    "[persona]\nlike = 'toaster'\n": ":2: persona.like is 'toaster'; it must be one of",
    "[persona]\n\nmodles = []\n": ":3: there is no setting persona.modles; did you mean models?",
    "[persona]\nlisten = ['telnet tcp 23', 'gopher tcp 70']\n": ":2: persona.listen: 'gopher tcp 70': there is no room",
    "[persona]\nname = 'A B'\n": ":2: persona.name: 'A B' must be",
    "[persona]\nmodels = ['X{q}']\n": ":2: persona.models: 'X{q}' may hold",
    "[persona]\ntitle = 'Router'\n": ":2: persona.title: 'Router' must hold {0}",
    "[persona]\ntitle = '{0} {1}'\n": ":2: persona.title",
    "[persona]\naccounts = ['root']\n": ":2: persona.accounts: 'root' is not of the form user:password",
    "[persona]\nouis = ['00-11-22']\n": ":2: persona.ouis",
    "[persona]\nuptime_days_min = 0\n": ":2: persona.uptime_days_min is 0",
    "[persona]\nuptime_days_min = 9\nuptime_days_max = 9\n": ":1: [persona] has an uptime_days_max",
    "[persona]\n[[persona.file]]\npath = '/a/../b'\n": ":3: persona.file.1.path",
    "[persona]\nlike = 'windows-server'\n[[persona.file]]\npath = '/a'\n": "takes none",
    "[sensor]\n": ":1: there is no section [sensor]; there is persona",
    "[persona]\nname = \n": ":2: no TOML",
}


@pytest.mark.parametrize("text", WRONG)
def test_what_is_wrong_is_named_with_its_line(text: str, tmp_path: Path) -> None:
    path = tmp_path / "p.toml"
    path.write_text(text)
    with pytest.raises(SettingsError) as raised:
        persona_file.read(path)
    assert WRONG[text] in str(raised.value)
    assert str(raised.value).startswith(str(path))


def test_so_many_accounts_and_no_more(tmp_path: Path) -> None:
    path = tmp_path / "p.toml"
    for count in (persona_file.ACCOUNTS_MAX, persona_file.ACCOUNTS_MAX + 1):
        path.write_text(f"[persona]\naccounts = {[f'u{number}:p' for number in range(count)]}\n")
        if count > persona_file.ACCOUNTS_MAX:
            with pytest.raises(SettingsError, match="there may be"):
                persona_file.read(path)
        else:
            assert len(persona_file.read(path).accounts) == count
    for length in (persona_file.TEXT_CHARS_MAX, persona_file.TEXT_CHARS_MAX + 1):
        path.write_text(f"[persona]\nbanner = '{'a' * length}'\n")
        if length > persona_file.TEXT_CHARS_MAX:
            with pytest.raises(SettingsError, match="characters"):
                persona_file.read(path)
        else:
            persona_file.read(path)


@pytest.mark.parametrize("like", BY_NAME)
def test_what_new_prints_is_a_persona(like: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["persona", "new", "mine", "--like", like]) == 0
    printed = capsys.readouterr().out
    path = tmp_path / "mine.toml"
    path.write_text(printed)
    plain = persona_file.read(path)
    assert plain.makes == BY_NAME[like].makes
    # With every `#` removed that hides a setting it says the same, and what it has besides.
    shown = "\n".join(
        line[1:] if line[:1] == "#" and line[1:2] not in (" ", "") else line for line in printed.split("\n")
    )
    path.write_text(shown)
    whole = persona_file.read(path)
    assert (whole.makes[0], whole.ouis, whole.services) == (plain.makes[0], plain.ouis, plain.services)
    assert whole.accounts == ("admin:letmein",)
    assert [path for path, _ in whole.texts] == ([] if like == "windows-server" else ["/etc/motd"])
    Host.of(Seed(b"x"), whole)


def test_list_and_show(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["persona", "list"]) == 0
    listed = capsys.readouterr().out
    assert all(f"\n{persona.name} " in f"\n{listed}" for persona in PERSONAS)
    (tmp_path / "sensor").mkdir()
    (tmp_path / "sensor" / "seed").write_bytes(b"a seed")
    for persona in PERSONAS:
        assert main(["persona", "show", persona.name, "--data", str(tmp_path)]) == 0
        shown = capsys.readouterr().out
        host = Host.from_seed(Seed(b"a seed"), persona=persona.name)
        assert host.name in shown
    path = tmp_path / "p.toml"
    path.write_text(
        "[persona]\nname = 'kiosk'\nlike = 'set-top-box'\nmodels = ['KIOSK-{n}']\nlisten = ['http tcp 80']\n"
    )
    assert main(["persona", "show", str(path), "--data", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "KIOSK-" in shown
    assert "http tcp 80" in shown
    assert main(["persona", "show", "toaster", "--data", str(tmp_path)]) == 2
    assert main(["persona", "new", "mine.toml"]) == 2
    assert "redirect it" in capsys.readouterr().err


def test_settings_are_checked_with_the_persona_that_they_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    (tmp_path / "eudaemon.toml").write_text("[sensor]\npersona = 'own.toml'\nlisten = []\n")
    check = ["settings", "--check", str(tmp_path / "eudaemon.toml")]
    assert main(check) == 2
    assert "own.toml: cannot be read" in capsys.readouterr().err
    (tmp_path / "own.toml").write_text("[persona]\nmodel = 'x'\n")
    assert main(check) == 2
    assert "own.toml:2: there is no setting persona.model; did you mean models?" in capsys.readouterr().err
    (tmp_path / "own.toml").write_text("[persona]\n")
    assert main(check) == 0
