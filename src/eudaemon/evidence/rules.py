"""A signature in the languages of those who look for it: Suricata (7 or newer) and YARA."""

from __future__ import annotations

import re

from eudaemon.evidence.signature import Signature

_SID_BEGIN, _SIDS = 1_000_000, 1_000_000  # the range that is left to everybody's own rules


def suricata(signature: Signature) -> str:
    """Return the rule. Content is hexadecimal throughout: nothing in it is anybody's syntax."""
    port = signature.port or "any"
    if signature.transport == "udp":
        flow, ends = "", f"any any -> any {port}" if signature.to_server else f"any {port} -> any any"
    elif signature.to_server:
        flow, ends = "flow:established,to_server; ", f"any any -> any {port}"
    else:
        flow, ends = "flow:established,to_client; ", f"any {port} -> any any"
    first, *others = (f'content:"|{token.data.hex(" ")}|"; ' for token in signature.tokens)
    if signature.end:
        first += f"offset:{signature.begin}; depth:{signature.end - signature.begin}; "
    contents = first + "".join(f"{content}distance:0; " for content in others)
    sid = _SID_BEGIN + int(signature.sha256[:8], 16) % _SIDS
    return (
        f'alert {signature.transport} {ends} (msg:"{_plain(signature.name)}"; {flow}{contents}'
        f"classtype:attempted-admin; metadata:captures {len(signature.captures)}; sid:{sid}; rev:1;)"
    )


def yara(signature: Signature) -> str:
    """Return the rule, for recorded streams. Its one string has jumps of any length where the signature has gaps."""
    tokens = " [-] ".join(token.data.hex(" ") for token in signature.tokens)
    last = signature.end - len(signature.tokens[0].data)
    condition = f"$input in ({signature.begin}..{last})" if signature.end else "$input"
    captures = "\n".join(
        f'        capture_{number} = "{_plain(one)}"' for number, one in enumerate(signature.captures, 1)
    )
    name = re.sub(r"\W", "_", _plain(signature.name), flags=re.ASCII)
    return (
        f"rule {name if name[:1].isalpha() else f'rule_{name}'}\n{{\n    meta:\n{captures}\n"
        f"    strings:\n        $input = {{ {tokens} }}\n    condition:\n        {condition}\n}}"
    )


def _plain(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9 ._-]", "_", text)[:100]
