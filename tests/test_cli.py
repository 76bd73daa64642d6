"""The command line as one meets it: help that teaches, complaints that help, exit codes, tab completion."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from eudaemon import __version__
from eudaemon.cli import COMMANDS


def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "eudaemon", *words],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=60,
    )


def test_without_a_command_it_shows_what_there_is() -> None:
    done = run()
    assert done.returncode == 2
    for command, summary in COMMANDS.items():
        assert command in done.stdout
        assert summary in done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_that_teaches(command: str) -> None:
    done = run(command, "--help")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) > 6
    assert "usage: eudaemon " + command in done.stdout


def test_version() -> None:
    assert run("--version").stdout == f"eudaemon {__version__}\n"


def test_a_wrong_command_is_refused_with_the_right_ones() -> None:
    done = run("upp")
    assert done.returncode == 2
    assert "doctor" in done.stderr


@pytest.mark.parametrize("command", ["up", "sensor", "farm", "doctor"])
def test_wrong_settings_are_named_with_their_line(command: str, tmp_path: Path) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text("[general]\nlog_level = 'loud'\n")
    done = run(command, "--config", str(path), "--data", str(tmp_path / "data"))
    assert done.returncode == (1 if command == "doctor" else 2)
    assert f"{path}:2: general.log_level is 'loud'" in done.stderr + done.stdout
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "data").exists()


def test_the_example_settings_are_good(tmp_path: Path) -> None:
    path = tmp_path / "eudaemon.toml"
    path.write_text(run("settings").stdout)
    assert run("settings", "--check", str(path)).returncode == 0


def test_doctor_is_read_by_machines_too(tmp_path: Path) -> None:
    findings = json.loads(run("doctor", "--json", "--data", str(tmp_path)).stdout)
    assert {"python", "farm", "settings", "disk", "confinement"} <= {finding["what"] for finding in findings}
    assert {finding["state"] for finding in findings} <= {"good", "lacking", "missing"}
    assert all(finding["do"] for finding in findings if finding["state"] != "good")


def test_tab_completes_commands_and_options() -> None:
    script = run("completion", "bash").stdout
    ask = f"""
{script}
COMP_WORDS=(eudaemon do); COMP_CWORD=1; _shtab_eudaemon; echo "${{COMPREPLY[@]}}"
COMP_WORDS=(eudaemon farm en); COMP_CWORD=2; _shtab_eudaemon; echo "${{COMPREPLY[@]}}"
"""
    done = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["doctor", "enrol"], done


def test_a_reader_that_goes_away_is_no_error() -> None:
    done = subprocess.run(
        f"{sys.executable} -m eudaemon settings | head -1", shell=True, capture_output=True, text=True
    )
    assert done.stderr == ""
