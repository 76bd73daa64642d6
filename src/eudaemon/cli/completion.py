"""`eudaemon completion`: tab completion, made from the command line's own parser."""

from __future__ import annotations

import argparse
import sys

from eudaemon.cli import FAILED, make_parser

HELP = """\
Print the tab completion for a shell.

  eval "$(eudaemon completion bash)"                                    for this shell
  eudaemon completion bash > /etc/bash_completion.d/eudaemon            for everybody
  eudaemon completion zsh > ~/.zfunc/_eudaemon                          zsh"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("shell", choices=("bash", "zsh", "tcsh"))


def run(arguments: argparse.Namespace) -> int:
    """Print the script."""
    try:
        import shtab
    except ModuleNotFoundError:
        print("eudaemon: completion needs shtab: pip install shtab", file=sys.stderr)
        return FAILED
    print(shtab.complete(make_parser(only="*"), shell=arguments.shell))
    return 0
