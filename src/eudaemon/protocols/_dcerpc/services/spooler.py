"""The print spooler (MS-RPRN): drivers from elsewhere (PrintNightmare), and documents that become files
(MS10-061)."""

from __future__ import annotations

from collections.abc import Generator

from eudaemon.events.catalogue import ExploitRecognised
from eudaemon.protocols._base import Order, Saw
from eudaemon.protocols._dcerpc.host import NOT_ENOUGH_MEMORY, Handler, RpcFault, RpcHost, shown
from eudaemon.protocols._dcerpc.ndr import Reader, Writer

DOCUMENT_BYTES_MAX = 16 * 1024 * 1024


def _open(host: RpcHost, read: Reader, at_s: float) -> bytes:  # noqa: ARG001
    return host.open("printer", read.maybe_wide()) + Writer().long(0).data


def _close(host: RpcHost, read: Reader, at_s: float) -> Generator[Order, None, bytes]:  # noqa: ARG001
    yield from host.close(read.handle())
    return bytes(20) + Writer().long(0).data


def _add_driver(host: RpcHost, read: Reader, at_s: float) -> bytes:  # noqa: ARG001
    return Writer().long(0).data  # the association has told whose driver from where


def _start(host: RpcHost, read: Reader, at_s: float) -> Generator[Order, None, bytes]:  # noqa: ARG001
    """A document that is to be printed to a file is a file that somebody wants written (CVE-2010-2729)."""
    printer = host.get(read.handle(), "printer")
    for _ in range(2):  # the level of the document's description, twice
        read.long()
    if read.pointer():
        there = [read.pointer() for _ in range(3)]
        _, path, _ = (read.wide() if is_there else "" for is_there in there)
        if path:
            printer.name = path
            yield Saw(ExploitRecognised("ms10-061", "CVE-2010-2729", shown(path, 1024)))
    return Writer().long(1 + host.visit.seed.number("print job", 300), 0).data


def _write(host: RpcHost, read: Reader, at_s: float) -> bytes:  # noqa: ARG001
    printer = host.get(read.handle(), "printer")
    data = read.array()
    if len(printer.data) + len(data) > DOCUMENT_BYTES_MAX or not host.visit.purse.take(len(data)):
        raise RpcFault(NOT_ENOUGH_MEMORY)
    printer.data += data
    return Writer().long(len(data), 0).data


def _done(host: RpcHost, read: Reader, at_s: float) -> bytes:  # noqa: ARG001
    host.get(read.handle(), "printer")
    return Writer().long(0).data


HANDLERS: dict[str, Handler] = {
    "RpcOpenPrinter": _open,
    "RpcOpenPrinterEx": _open,
    "RpcAsyncOpenPrinter": _open,
    "RpcClosePrinter": _close,
    "RpcAsyncClosePrinter": _close,
    "RpcAddPrinterDriverEx": _add_driver,
    "RpcAsyncAddPrinterDriver": _add_driver,
    "RpcStartDocPrinter": _start,
    "RpcStartPagePrinter": _done,
    "RpcWritePrinter": _write,
    "RpcEndPagePrinter": _done,
    "RpcEndDocPrinter": _done,
}
