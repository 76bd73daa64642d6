"""All that is known of bytes as machine code: by signatures, and by emulation where unicorn is installed.

What a command that is executed would download is asked of `payload.extract`, so that a shellcode's wishes are of the
same kind as a script's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from itertools import islice
from typing import Any

from eudaemon.payload.extract import PAYLOAD_BYTES_MAX, extract
from eudaemon.payload.shellcode.behaviour import Behaviour, Downloads, Executes, as_json, wishes
from eudaemon.payload.shellcode.report import Report
from eudaemon.payload.shellcode.shells import Shell, shells
from eudaemon.payload.shellcode.signatures import Signature, signatures
from eudaemon.wire import decode
from eudaemon.world.host import Host
from eudaemon.world.outside import Download

CODE_BYTES_MAX = 1024 * 1024  # that are put into the emulated memory
LAYERS_MAX = 3  # besides the bytes themselves
# What a shellcode may stand in. Other formats have a loader of their own.
FORMATS = ("data", "text", "conversation", "script", "html")
_PERCENT_U = re.compile(rb"%u([0-9A-Fa-f]{4})")
_CODE_BYTES_MIN = 3
_RUN_BYTES_MIN = 64  # of hexadecimal or base64 digits


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found. `emulated` is False where unicorn is not installed; then signatures are all there is."""

    emulated: bool
    signatures: tuple[Signature, ...] = ()
    report: Report | None = None
    downloads: tuple[Download, ...] = ()

    @property
    def behaviours(self) -> tuple[Behaviour, ...]:
        """Return what the code does: as it was seen to do, else as signatures say."""
        if self.report is not None:
            return self.report.behaviours
        return tuple(dict.fromkeys(signature.behaviour for signature in self.signatures))

    @property
    def shells(self) -> tuple[Shell, ...]:
        """Return the shells that the code would open for who sent it."""
        if self.report is not None and self.report.understood:
            return shells((behaviour, self.report.system) for behaviour in self.report.behaviours)
        return shells((signature.behaviour, signature.system) for signature in self.signatures)

    def sentences(self) -> list[str]:
        """Return what it does in words, and what the commands in it would fetch."""
        said = [str(behaviour) for behaviour in self.behaviours]
        plain = {behaviour.url for behaviour in self.behaviours if isinstance(behaviour, Downloads)}
        return said + [f"would fetch {d.url}" for d in self.downloads if d.url not in plain]

    def as_json(self) -> dict[str, Any]:
        """Return all of it as an object for machines."""
        return {
            "emulated": self.emulated,
            "behaviours": [as_json(behaviour) for behaviour in self.behaviours],
            "says": self.sentences(),
            "shells": [shell.as_json() for shell in self.shells],
            "downloads": [{"url": d.url, "tool": d.tool, "name": d.name} for d in self.downloads],
            "signatures": [
                {"offset": s.offset, "name": s.name, "behaviour": as_json(s.behaviour)} for s in self.signatures
            ],
            "report": self.report.as_json() if self.report else None,
        }


def examine(
    data: bytes, host: Host, *, architectures: Sequence[str] = (),
    attacker_ip: str = "", listing: bool = False, seconds_max: float = 5.0,
) -> Findings:  # fmt: skip
    """Return what the bytes would do as code, or what undoing their wrappings (hexadecimal, base64, …) gives.

    `architectures` names the CPUs where they are known (as in `emulation.cpu`), so that the first byte is tried first
    and nothing is guessed. Blocks for `seconds_max` at most, give or take a step.
    """
    found = tuple(signatures(data))
    report = None
    emulated = find_spec("unicorn") is not None
    if emulated and len(data) >= _CODE_BYTES_MIN:
        layers = [data] if architectures else [data, *islice(_layers(data, host), LAYERS_MAX)]
        report = _emulated(layers, architectures, listing, seconds_max)
    findings = Findings(emulated, found, report)
    return replace(findings, downloads=tuple(_downloads(findings.behaviours, host, attacker_ip)))


def _emulated(
    layers: Sequence[bytes], architectures: Sequence[str], listing: bool, seconds_max: float
) -> Report | None:
    from eudaemon.payload.shellcode.emulation.limits import Limits
    from eudaemon.payload.shellcode.emulation.trial import emulate

    best: Report | None = None
    limits = Limits(seconds_max=seconds_max / len(layers))
    for number, text in enumerate(layers):
        report = emulate(text[:CODE_BYTES_MAX], limits=limits, architectures=architectures, listing=listing)
        if report is not None and (best is None or report.understood):
            best = replace(report, layer=number)
        if best is not None and best.understood:
            break
    return best


def _layers(data: bytes, host: Host) -> Iterator[bytes]:
    """Yield what the bytes may be a writing of, without themselves."""
    seen = {data}
    text = data[:PAYLOAD_BYTES_MAX]
    # The extractor leaves out what looks like noise, which is what code looks like.
    runs = [*decode.hex_runs(text, run_bytes_min=_RUN_BYTES_MIN, runs_max=LAYERS_MAX),
            *decode.base64_runs(text, run_bytes_min=_RUN_BYTES_MIN, runs_max=LAYERS_MAX)]  # fmt: skip
    for written in (_unescaped(text), *runs, *extract(text, host).layers[1:]):
        if len(written) >= _CODE_BYTES_MIN and written not in seen:
            seen.add(written)
            yield written


def _unescaped(data: bytes) -> bytes:
    """Return what `%u9090%u…` of a script stands for: two bytes each, the lower one first."""
    return b"".join(bytes.fromhex(found[1].decode("ascii"))[::-1] for found in _PERCENT_U.finditer(data))


def _downloads(behaviours: Sequence[Behaviour], host: Host, attacker_ip: str) -> Iterator[Download]:
    seen = set()
    lines = (behaviour.line for behaviour in behaviours if isinstance(behaviour, Executes))
    inner = (extract(line, host, attacker_ip).downloads for line in lines)
    for download in (*wishes(behaviours), *(download for found in inner for download in found)):
        if download.url not in seen:
            seen.add(download.url)
            yield download
