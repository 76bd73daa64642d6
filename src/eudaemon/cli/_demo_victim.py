"""`eudaemon demo victim` and `eudaemon demo attack`: something to possess, and what it is then protected from."""

from __future__ import annotations

import argparse
import ipaddress
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

from eudaemon.cli import DONE, FAILED, FOUND, WRONG_USE
from eudaemon.demo.sample import harmless
from eudaemon.demo.victim import PORT, VictimError, attack, become

NAME = "/demo.elf"
DOWNLOADS_MAX = 8  # at most so many are answered while the attack lasts
PAUSE_S = 0.5  # between a look at the victim and the attack: on the loopback there is no round trip to use
TRY_S = 5.0  # a peer that connects and says nothing
FETCH_S = 10.0  # so long the file of an attack that was stopped is served: a sensor fetches it after the alert


def victim(arguments: argparse.Namespace) -> int:
    """Become the victim."""
    if not _is_loopback(arguments.host):
        return WRONG_USE
    port = arguments.port or PORT
    print(f"A guest book that can be taken over, on http://127.0.0.1:{port}/ alone, process {os.getpid()}.")
    print(f"Possess it:  eudaemon possess {os.getpid()} --taint inet")
    print("Attack it:   eudaemon demo attack", *(["--port", port] if port != PORT else []))
    print("It ends with Ctrl-C.", flush=True)
    try:
        become(port)
    except (VictimError, OSError) as error:
        print(f"eudaemon: {error}")
    return FAILED


def hijack(arguments: argparse.Namespace) -> int:
    """Attack the victim; the code that it brings downloads a harmless file from here, or what `--url` says."""
    if not _is_loopback(arguments.host):
        return WRONG_USE
    port = arguments.port or PORT
    with _serving(arguments.url) as (url, asked):
        print(f"http {arguments.host}:{port}: a name that is too long, with code in it that downloads {url} …")
        try:
            outcome = attack(arguments.host, port, url, PAUSE_S)
        except ValueError as error:
            print(f"eudaemon: {error}")
            return WRONG_USE
        except (VictimError, OSError) as error:
            print(f"eudaemon: {error}; is the victim running? `eudaemon demo victim` starts it")
            return FAILED
        if not outcome.has_run:
            print("  the code did not run: the victim's process was stopped before it")
            if not arguments.url:
                _await_sensor(asked)
            return FOUND
    downloaded = ", and has downloaded its file" if asked.is_set() else ""
    print(f"  the code has run ({len(outcome.code)} bytes){downloaded}: nothing protects this victim")
    return DONE


def _await_sensor(asked: threading.Event) -> None:
    """Keep serving the file for a while."""
    print(f"  its file is here for {FETCH_S:g} s, for a sensor that may download from the loopback …", flush=True)
    if asked.wait(FETCH_S):
        print("  it was fetched")
    else:
        print("  nobody fetched it; with the settings of docs/how-to/lab.md a sensor does")


def _is_loopback(host: str) -> bool:
    try:
        if ipaddress.ip_address(host).is_loopback:
            return True
    except ValueError:
        pass
    print(f"eudaemon: {host} is no loopback address; victim and attack are for no other")
    return False


@contextmanager
def _serving(url: str) -> Iterator[tuple[str, threading.Event]]:
    """Serve the harmless file, unless another one is named; yield its URL, and what is set when it is asked for."""
    asked = threading.Event()
    if url:
        yield url, asked
        return

    places = iter(range(DOWNLOADS_MAX))

    class Handler(BaseHTTPRequestHandler):
        timeout = TRY_S

        def do_GET(self) -> None:
            data = harmless()
            is_given = self.path == NAME and next(places, None) is not None
            if is_given:
                asked.set()
            self.send_response(200 if is_given else 404)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}{NAME}", asked
        finally:
            server.shutdown()
            thread.join()
