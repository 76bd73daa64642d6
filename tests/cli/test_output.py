"""`eudaemon output`: what it lists and shows, what a test sends and says; and the how-to's snippets are good."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from eudaemon import cli
from eudaemon.farm.outputs import settings as kinds
from eudaemon.farm.outputs.journal import Journal
from eudaemon.farm.outputs.trial import SENSOR
from eudaemon.settings import Document
from farm.outputs.listeners import web
from tidy.tree import ROOT


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "eudaemon.toml"
    path.write_text("")
    return path


def output(config: Path, *words: str) -> int:
    return cli.main(["output", *words, "--config", str(config), "--data", str(config.parent / "data")])


def test_every_snippet_of_the_how_to_is_good_and_every_kind_has_one() -> None:
    page = (ROOT / "docs" / "how-to" / "outputs.md").read_text(encoding="utf-8")
    toml = "\n".join(re.findall(r"^    (?! )(?!eudaemon)(.*)$", page, re.MULTILINE))
    document = Document(toml.replace("…", "x"))  # whoever leaves a `…` where a key belongs is told so
    document.check()
    found = document.part("outputs", kinds.OUTPUTS)
    assert {type(one) for one in found.values()} == set(kinds.OUTPUTS.kinds.values())
    said = set(re.findall(r"^\| `([a-z0-9]+)` \|", page, re.MULTILINE))
    assert said == set(kinds.FORMATS)


def test_without_outputs_it_says_how_to_have_some(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert output(config, "list") == 0
    assert "docs/how-to/outputs.md" in capsys.readouterr().out
    assert output(config, "show", "nothing") == 2
    assert "there is no output 'nothing'" in capsys.readouterr().err


def test_how_each_does_and_no_secret(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config.write_text(
        "[outputs.feeds]\nto = 'hpfeeds'\nhost = 'h'\nident = 'i'\nsecret = '0penSesame'\n"
        "[outputs.files]\nto = 'directory'\n"
    )
    assert output(config) == 0
    assert capsys.readouterr().out.count("not started yet") == 2
    home = config.parent / "data" / "farm"
    home.mkdir(parents=True)
    journal = Journal(home / "outgoing.sqlite", 1000)
    journal.begin(["feeds", "files"])
    journal.take(0, [b"1", b"2"], again=False)
    journal.trouble("feeds", "Authentication failed")
    journal.told("files", 2)
    assert output(config, "list") == 1
    feeds, files = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"feeds +hpfeeds +waits: Authentication failed \(2 events wait\)", feeds)
    assert re.fullmatch(r"files +directory +well: last told .*Z, 2 events wait", files)
    assert output(config, "show", "feeds") == 1
    shown = capsys.readouterr().out
    assert "0penSesame" not in shown
    assert 'secret = "…"' in shown
    assert "told 0, refused by its peer 0" in shown
    journal.close()


def test_a_test_sends_one_made_up_event_and_says_what_was_answered(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with web() as server:
        server.answers[:] = [(200, {}, "thanks"), (401, {}, "who are you?"), (200, {}, "fine")]
        config.write_text(
            f"[outputs.lake]\nto = 'http'\nurl = '{server.url}'\nformat = 'dionaea'\n"
            f"[outputs.haus]\nto = 'urlhaus'\nkey = 'k'\nurl = '{server.url}'\n"
        )
        assert output(config, "test", "lake") == 0
        assert capsys.readouterr().out == "lake: 200 thanks\n"
        assert server.asked[0].json["src_ip"] == "192.0.2.9"
        assert output(config, "test", "lake") == 3
        assert capsys.readouterr().err == "eudaemon: output lake: 401 who are you?\n"
        assert output(config, "test", "haus") == 0
        assert server.asked[2].json["submission"] == [], "a made-up report would be a false one"


def test_a_secret_that_a_peer_repeats_is_not_shown(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with web() as server:
        server.answers[:] = [(404, {}, "no hook /T00/0penSesame"), (200, {}, "hook /T00/0penSesame is well")]
        config.write_text(f"[outputs.chat]\nto = 'webhook'\nurl = '{server.url}/T00/0penSesame'\n")
        assert output(config, "test", "chat") == 3
        assert output(config, "test", "chat") == 0
        assert output(config, "show", "chat") == 0
        assert "http://192.0.2.80" not in server.asked[0].json["text"]
        assert "hxxp[://]192[.]0[.]2[.]80/test.sh" in server.asked[0].json["text"]
    shown = capsys.readouterr()
    assert "no hook" in shown.err
    assert "is well" in shown.out
    assert "0penSesame" not in shown.out + shown.err


def test_every_format_can_be_tried(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config.write_text("".join(f"[outputs.{name}]\nto = 'directory'\nformat = '{name}'\n" for name in kinds.FORMATS))
    for name in kinds.FORMATS:
        assert output(config, "test", name) == 0
        (path,) = (config.parent / "data" / "farm" / "outputs" / name).iterdir()
        assert str(path) in capsys.readouterr().out
        assert path.stat().st_size > 0
    assert SENSOR in next((config.parent / "data" / "farm" / "outputs" / "events").iterdir()).read_text()


def test_what_root_tries_is_the_farms_to_go_on_with(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root, which the farm gives up")
    for format_ in ("cowrie", "stix"):
        place = config.parent / format_
        config.write_text(
            f"[general]\nfarm_uid = 61999\n[outputs.files]\nto = 'directory'\npath = '{place}'\nformat = '{format_}'\n"
        )
        for _ in range(2):
            assert output(config, "test", "files") == 0, capsys.readouterr().err
        assert {path.stat().st_uid for path in (place, *place.iterdir())} == {61999}
    others = config.parent / "others"
    others.mkdir()
    (others / "a").touch()
    config.write_text(f"[outputs.files]\nto = 'directory'\npath = '{others}'\n")
    assert output(config, "test", "files") == 0
    assert others.stat().st_uid == 0, "who owns what is not empty has decided"
