"""`eudaemon`, `python -m eudaemon`."""

import sys


def main() -> int:
    """Run one command line; return the exit code."""
    try:
        if sys.argv[1:2] == ["sensor"]:  # it stays: nothing is imported that it does not need
            from eudaemon import sensing

            return sensing.main(sys.argv[1:])
        from eudaemon import cli

        return cli.main()
    except KeyboardInterrupt:  # while it was being loaded
        return 130


if __name__ == "__main__":
    sys.exit(main())
