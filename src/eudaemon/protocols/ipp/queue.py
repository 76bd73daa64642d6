"""One installation's CUPS, its one queue, and what it says of both."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from eudaemon.protocols._printers import model_of
from eudaemon.protocols.ipp import message as ipp
from eudaemon.protocols.ipp.message import Attribute, attribute
from eudaemon.world.host import Host

_VERSIONS = ("2.2.7", "2.2.10", "2.3.1", "2.3.3", "2.4.1", "2.4.2", "2.4.7")
_PLACES = ("Office", "2nd floor", "Reception", "", "Copy room", "Accounting")
_FORMATS = ("application/octet-stream", "application/pdf", "application/postscript", "image/jpeg", "image/pwg-raster",
            "text/plain")  # fmt: skip
_MEDIA = ("iso_a4_210x297mm", "na_letter_8.5x11in", "na_legal_8.5x14in", "iso_a5_148x210mm")


@dataclass(frozen=True, slots=True)
class Queue:
    """One sensor's queue. `name` is its own, as it stands in its address."""

    version: str
    model: str
    name: str
    place: str
    uuid: str
    device: str
    first_job: int
    host: str

    @property
    def server(self) -> str:
        """The value of its Server header."""
        return f"CUPS/{self.version.rpartition('.')[0]} IPP/2.1"

    def attributes(self, authority: str, at_s: float, operations: tuple[int, ...]) -> list[tuple[str, bytes]]:
        """Return what it says of the queue: names, and attributes as they are sent."""
        text = (
            attribute("charset-configured", ipp.CHARSET, "utf-8"),
            attribute("charset-supported", ipp.CHARSET, "us-ascii", "utf-8"),
            attribute("compression-supported", ipp.KEYWORD, "none", "gzip"),
            attribute("cups-version", ipp.TEXT, self.version),
            attribute("device-uri", ipp.URI, self.device),
            attribute("document-format-default", ipp.MIME, "application/octet-stream"),
            attribute("document-format-supported", ipp.MIME, *_FORMATS),
            attribute("generated-natural-language-supported", ipp.LANGUAGE, "en"),
            attribute("ipp-versions-supported", ipp.KEYWORD, "1.0", "1.1", "2.0", "2.1"),
            attribute("media-default", ipp.KEYWORD, _MEDIA[0]),
            attribute("media-supported", ipp.KEYWORD, *_MEDIA),
            attribute("natural-language-configured", ipp.LANGUAGE, "en"),
            attribute("operations-supported", ipp.ENUM, *operations),
            attribute("pdl-override-supported", ipp.KEYWORD, "attempted"),
            attribute("printer-info", ipp.TEXT, self.model),
            attribute("printer-is-accepting-jobs", ipp.BOOLEAN, 1),
            attribute("printer-is-shared", ipp.BOOLEAN, 1),
            attribute("printer-location", ipp.TEXT, self.place),
            attribute("printer-make-and-model", ipp.TEXT, self.model),
            attribute("printer-more-info", ipp.URI, f"http://{authority}/printers/{self.name}"),
            attribute("printer-name", ipp.NAME, self.name),
            attribute("printer-state", ipp.ENUM, 3),  # idle
            attribute("printer-state-message", ipp.TEXT, ""),
            attribute("printer-state-reasons", ipp.KEYWORD, "none"),
            attribute("printer-type", ipp.ENUM, 0x1046),
            attribute("printer-up-time", ipp.INTEGER, int(at_s)),  # CUPS gives the time
            attribute("printer-uri-supported", ipp.URI, f"ipp://{authority}/printers/{self.name}"),
            attribute("printer-uuid", ipp.URI, f"urn:uuid:{self.uuid}"),
            attribute("queued-job-count", ipp.INTEGER, 0),
            attribute("uri-authentication-supported", ipp.KEYWORD, "requesting-user-name"),
            attribute("uri-security-supported", ipp.KEYWORD, "none"),
        )
        media = Attribute("media-col-default", ipp.BEGIN, (b"",)).encoded() + ipp.collection(
            media_bottom_margin=423, media_left_margin=423, media_right_margin=423, media_top_margin=423
        )
        return [*((one.name, one.encoded()) for one in text), ("media-col-default", media)]

    def page(self) -> bytes:
        """Return the first page of its web interface."""
        return (
            '<!DOCTYPE html>\n<html>\n  <head>\n    <link rel="stylesheet" href="/cups.css" type="text/css">\n'
            f"    <title>Home - CUPS {self.version}</title>\n  </head>\n  <body>\n    <h1>CUPS {self.version}</h1>\n"
            '    <p><a href="/printers/">Printers</a> <a href="/jobs/">Jobs</a> <a href="/admin/">Administration</a>'
            "</p>\n  </body>\n</html>\n"
        ).encode()


@lru_cache(maxsize=8)
def queue_of(host: Host) -> Queue:
    """Return the queue of this host."""
    seed = host.seed.child("ipp")
    model = model_of(host)
    digits = seed.bytes("uuid", 16).hex()
    uuid = f"{digits[:8]}-{digits[8:12]}-3{digits[13:16]}-8{digits[17:20]}-{digits[20:]}"
    device = f"socket://{host.gateway.rpartition('.')[0]}.{100 + seed.number('printer address', 150)}:9100"
    return Queue(seed.choice("version", _VERSIONS), model, model.replace(" ", "_"), seed.choice("place", _PLACES), uuid,
                 device, 12 + seed.number("first job", 4000), host.name)  # fmt: skip
