"""The command line. `COMMANDS` is the table; a command's module is imported when it is called, and only then.

A module of a command has `HELP` (what it does, for `--help`), `add_arguments(parser)` and `run(arguments) -> int`.
Exit codes: 0 done; 1 done, and something was found or is missing; 2 wrong use or settings; 3 could not be done;
4 input took control of a possessed process.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType

from eudaemon import __version__
from eudaemon.settings import SettingsError
from eudaemon.supervisor import PartError

COMMANDS = {
    "up": "run sensor, farm and web page on this machine",
    "sensor": "run a sensor",
    "farm": "run the farm; enrol sensors, set passwords",
    "demo": "attack your own sensor, harmlessly, and see what arrives",
    "replay": "play recorded attacks through the rooms, without a network",
    "analyze": "take a payload apart by hand",
    "possess": "move running processes into the engine, until Ctrl-C",
    "watch": "possess processes by policy: when somebody connects",
    "release": "let possessed processes go",
    "status": "which processes are possessed, and how they do",
    "alert": "what took control of a possessed process, and signatures of it",
    "doctor": "what this machine allows, and what to do about it",
    "persona": "who a sensor can pretend to be; write a persona of your own",
    "settings": "show every setting with its default, or check a file",
    "completion": "print the tab completion for your shell",
}
DONE, FOUND, WRONG_USE, FAILED, ALERTED = 0, 1, 2, 3, 4


def main(arguments: Sequence[str] | None = None, **handed: object) -> int:
    """Run one command line; return the exit code. `handed` is for the command, besides what the line says."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.encoding.lower() != "utf-8":
            stream.reconfigure(errors="replace")  # `→` and `✓` are no reason to fail
    given = list(sys.argv[1:] if arguments is None else arguments)
    chosen = given[0] if given and given[0] in COMMANDS else None
    parser = make_parser(only=chosen)
    parsed = parser.parse_args(given, argparse.Namespace(**handed))
    if "run" not in parsed:
        parser.print_help()
        return WRONG_USE
    try:
        code: int = parsed.run(parsed)
    except SettingsError as error:
        print(f"eudaemon: {error}", file=sys.stderr)
        return WRONG_USE
    except PartError as error:
        print(f"eudaemon: {error}", file=sys.stderr)
        return FAILED
    except BrokenPipeError:
        sys.stderr.close()  # `eudaemon … | head` is no error
        return DONE
    except KeyboardInterrupt:
        return 130
    return code


def make_parser(only: str | None = None) -> argparse.ArgumentParser:
    """Return the parser, with the arguments of one command, of none, or (only="*") of all."""
    parser = argparse.ArgumentParser(
        prog="eudaemon",
        description="A honeynet in one package: sensors collect malware, the farm keeps and shows it.",
        epilog="`eudaemon COMMAND --help` tells more. Begin with `eudaemon up`.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"eudaemon {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", title="commands")
    for name, summary in COMMANDS.items():
        command = commands.add_parser(name, help=summary, formatter_class=argparse.RawDescriptionHelpFormatter)
        if only in (name, "*"):
            module = _module(name)
            command.description = module.HELP
            module.add_arguments(command)
            command.set_defaults(run=module.run)
    return parser


def _module(name: str) -> ModuleType:
    return import_module(f"eudaemon.cli.{name}")
