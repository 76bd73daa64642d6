"""Every kind of event is told by every format, or named as one that it leaves out, with the reason."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import cache

import pytest
from jsonschema import Draft202012Validator
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

from eudaemon.events import KINDS, Fact, fields_of
from eudaemon.events import catalogue as facts
from eudaemon.farm.outputs.formats import FORMATS, cowrie, dionaea, eve, misp, ocsf, sentences, stix
from eudaemon.farm.outputs.formats.left_out import LEFT_OUT
from farm.outputs.told import Told, made

TABLES: dict[str, Mapping[type[Fact], object]] = {
    "cowrie": cowrie.SAID, "dionaea": dionaea.SAID, "eve": eve.SAID, "stix": stix.SAID, "misp": misp.SAID,
    "ocsf": ocsf.SAID,
}  # fmt: skip
# What every session has, and what makes one worth a bundle or an event.
ENDS = (facts.SessionOpened, facts.SessionClosed)
BASE = (facts.LoginTried("base", "base", accepted=False), facts.CommandEntered("base"))


def said_by(name: str, *said: Fact, room: str = "smb") -> bytes:
    told = Told()
    told.session(*said, room=room, port=445)
    return b"\n".join(item.data for item in FORMATS[name].make(told.batch()))


@pytest.mark.parametrize("name", TABLES)
def test_every_kind_is_told_or_left_out_with_a_reason(name: str) -> None:
    told, left_out = set(TABLES[name]), set(LEFT_OUT[name])
    assert told | left_out == set(KINDS.values())
    assert told & left_out == set()
    assert all(LEFT_OUT[name].values())


def test_every_format_of_facts_has_a_table() -> None:
    assert set(TABLES) == set(LEFT_OUT)
    assert set(FORMATS) - set(TABLES) <= {"events", "samples", "notices", "fail2ban"}
    assert set(sentences.SAID) == set(stix.SAID) - {facts.SessionClosed}


@pytest.mark.parametrize("name", TABLES)
def test_what_is_said_to_be_told_is_in_what_is_said_and_what_is_left_out_is_not(name: str) -> None:
    for kind in set(KINDS.values()) - set(ENDS):
        fact = made(kind)
        both = (fact, replace(fact, sha256="")) if isinstance(fact, facts.DownloadFinished) else (fact,)
        said = b"".join(said_by(name, *BASE, *both, room=room) for room in ("smb", "ftp", "epmap", "tftp"))
        marks = {str(value).encode() for value in _texts(fact)}
        found = {mark for mark in marks if mark in said}
        if kind in TABLES[name]:
            assert found, f"{name} says nothing of {kind.kind}"
        else:
            assert not found, f"{name} says of {kind.kind}: {found}"


def _texts(fact: Fact) -> list[str]:
    values = [getattr(fact, field.name) for field in fields_of(type(fact))]
    flat = [one for value in values for one in (value if isinstance(value, tuple) else (value,))]
    return [one for one in flat if isinstance(one, str) and one not in ("sip", "upload", "ok", "read", "1024x768")]


@cache
def _validator(class_uid: int) -> Draft202012Validator:
    schema = OcsfJsonSchemaEmbedded(get_ocsf_schema(version=ocsf.VERSION))
    name = schema.lookup_class_name_from_uid(class_uid)
    return Draft202012Validator(schema.get_class_schema(class_name=name), format_checker=None)


@pytest.mark.parametrize("ip", ["192.31.196.9", "2620:4f:8000::9"])
def test_ocsf_is_what_its_schema_says(ip: str) -> None:
    plain = [made(kind) for kind in KINDS.values()]
    empty = [_emptied(fact) for fact in plain]
    told = Told()
    for fact in (*plain, *empty):
        told.session(fact, room="smb", ip=ip)
    said = [json.loads(item.data) for item in FORMATS["ocsf"].make(told.batch())]
    assert {one["unmapped"]["kind"] for one in said} == {kind.kind for kind in ocsf.SAID}
    for one in said:
        problems = [f"{e.json_path}: {e.message}" for e in _validator(one["class_uid"]).iter_errors(one)]
        assert problems == [], one
    logins = [one for one in said if one["unmapped"]["kind"] == "ntlm.response"]
    assert logins[0]["src_endpoint"]["ip"] == ip
    assert logins[0]["unmapped"]["response"] == "markresponsezq"


def _emptied(fact: Fact) -> Fact:
    """Return a fact whose optional texts are empty, as most are in practice."""
    kept = ("head", "interface", "sha256", "url")
    return type(fact)(**{
        field.name: "" if isinstance(value := getattr(fact, field.name), str) and field.name not in kept else value
        for field in fields_of(type(fact))
    })  # fmt: skip
