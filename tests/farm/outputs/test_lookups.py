"""What others know of a sample: VirusTotal and CAPE as mocks, which answer as their documents and their source say."""

from __future__ import annotations

import json
from collections.abc import Iterator
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest

from eudaemon.events import catalogue as facts
from eudaemon.farm.outputs import feeder
from eudaemon.farm.outputs import settings as kinds
from eudaemon.farm.outputs.batch import Item
from eudaemon.farm.outputs.formats.lookups import AGAIN_S
from eudaemon.farm.outputs.outputs import make
from eudaemon.farm.outputs.peers import LaterError, lookups
from eudaemon.farm.outputs.trial import tried
from eudaemon.farm.queries import samples
from eudaemon.farm.settings import StoreSettings
from farm.farms import Uplink, running
from farm.outputs.listeners import Answers, Asked, web
from farm.outputs.test_feeding import events, state, until
from farm.outputs.told import ELF, ELF_SHA256, INFECTION, Told

GUI = f"https://www.virustotal.com/gui/file/{ELF_SHA256}"
FILE = {
    "data": {"id": ELF_SHA256, "type": "file", "attributes": {
        "last_analysis_stats": {"malicious": 41, "suspicious": 1, "undetected": 20, "harmless": 0, "timeout": 2,
                                "type-unsupported": 9, "failure": 1},
        "popular_threat_classification": {"suggested_threat_label": "trojan.mirai/gafgyt"},
        "last_analysis_results": {f"engine{n}": {"result": "x" * 1000} for n in range(100)},
    }},
}  # fmt: skip
NOT_FOUND = (404, {}, json.dumps({"error": {"code": "NotFoundError", "message": "File not found"}}))


@pytest.fixture
def server() -> Iterator[Answers]:
    with web() as answers:
        yield answers


def asked(settings: Any, *, with_bytes: bool = False) -> tuple[list[facts.SampleJudged], str]:
    _, peer = make("it", settings, Path(), StoreSettings())
    said = peer.send([Item(ELF if with_bytes else b"", ELF_SHA256)])
    learnt: list[facts.SampleJudged] = list(peer.learnt())  # type: ignore[attr-defined]
    assert list(peer.learnt()) == []  # type: ignore[attr-defined]
    return learnt, said


def file_of(request: Asked) -> tuple[str, bytes]:
    """Return name and bytes of the file in a form."""
    head = b"Content-Type: " + request.headers["content-type"].encode() + b"\r\n\r\n"
    (part,) = message_from_bytes(head + request.body).get_payload()  # type: ignore[misc]
    assert part.get_param("name", header="content-disposition") == "file"
    return part.get_filename(), part.get_payload(decode=True)


# --- VirusTotal (a mock) -------------------------------------------------------------------------


def test_virustotal_is_asked_by_the_hash_alone(server: Answers) -> None:
    settings = kinds.VirusTotal("k3y", url=f"{server.url}/api/v3")
    server.answers[:] = [(200, {}, json.dumps(FILE))]
    (fact,), said = asked(settings)
    assert fact == facts.SampleJudged(ELF_SHA256, "virustotal", "known", "trojan.mirai/gafgyt", 41, 62, link=GUI)
    assert said == f"{ELF_SHA256}: known trojan.mirai/gafgyt"
    server.answers[:] = [NOT_FOUND]
    (fact,), _ = asked(settings)
    assert fact == facts.SampleJudged(ELF_SHA256, "virustotal", "unknown")
    assert {(one.method, one.path, one.body) for one in server.asked} == {("GET", f"/api/v3/files/{ELF_SHA256}", b"")}
    assert server.asked[0].headers["x-apikey"] == "k3y"


def test_virustotal_is_given_what_it_does_not_know_only_if_it_is_wanted(
    server: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = kinds.VirusTotal("k3y", submit=True, url=f"{server.url}/api/v3")
    format_, peer = make("it", settings, Path(), StoreSettings())
    told = Told()
    told.session(*INFECTION)
    (item,) = format_.make(told.batch())
    assert (item.name, item.sample, item.kept_s) == (ELF_SHA256, ELF_SHA256, AGAIN_S)
    (item,) = make("it", kinds.VirusTotal("k"), Path(), StoreSettings())[0].make(told.batch())
    assert item.sample == "", "without `submit` the bytes are not even read"
    analysis = json.dumps({"data": {"type": "analysis", "id": "abc=="}})
    server.answers[:] = [NOT_FOUND, (200, {}, analysis)]
    (fact,), _ = asked(settings, with_bytes=True)
    assert fact == facts.SampleJudged(ELF_SHA256, "virustotal", "submitted", link=GUI)
    assert (server.asked[1].method, server.asked[1].path) == ("POST", "/api/v3/files")
    assert file_of(server.asked[1]) == (ELF_SHA256, ELF)
    monkeypatch.setattr(lookups, "SUBMITTED_BYTES_MAX", len(ELF))
    for data, requests in ((ELF, 2), (ELF + b"x", 1)):
        server.asked.clear()
        server.answers[:] = [NOT_FOUND, (200, {}, analysis)]
        peer.send([Item(data, ELF_SHA256)])
        assert len(server.asked) == requests


def test_a_public_key_is_asked_with_four_times_a_minute() -> None:
    assert make("it", kinds.VirusTotal("k"), Path(), StoreSettings())[1].pause_s == 15.0


OTHER_FILE = {"data": {**FILE["data"], "id": "0" * 64}}


@pytest.mark.parametrize(
    ("status", "text", "said"),
    [
        (429, '{"error": {"code": "QuotaExceededError"}}', "QuotaExceeded"),
        (401, '{"error": {"code": "WrongCredentialsError"}}', "WrongCredentials"),
        (404, "<html>no such page</html>", "404"), (200, "<html>", "something else"), (200, "[" * 10_000, "else"),
        (200, '{"data": {"attributes": {}}}', "something else"), (200, json.dumps(OTHER_FILE), "something else"),
        (400, '{"error": {"code": "BadRequestError"}}', "400"),
    ],
)  # fmt: skip
def test_what_virustotal_does_not_answer_is_asked_again(server: Answers, status: int, text: str, said: str) -> None:
    server.answers[:] = [(status, {}, text)]
    with pytest.raises(LaterError, match=said):
        asked(kinds.VirusTotal("k3y", url=server.url))


# --- CAPE (a mock) -------------------------------------------------------------------------------


def test_cape_is_asked_by_the_hash_and_given_what_it_does_not_know_if_that_is_wanted(server: Answers) -> None:
    def answers(*said: Any) -> None:
        server.asked.clear()
        server.answers[:] = [(200, {}, json.dumps(one)) for one in said]

    settings = kinds.Cape(f"{server.url}/cape/", "t0ken", submit=True)
    tasks = [{"id": 3, "status": "reported"}, {"id": 7, "status": "reported"}, {"id": 9, "status": "running"}]
    detections = [{"family": "Mirai", "details": [{"Yara": "x"}]}]
    answers({"error": [], "data": tasks}, {"error": False, "data": {"malscore": 8.5, "detections": detections}})
    (fact,), _ = asked(settings, with_bytes=True)
    link = f"{server.url}/cape/analysis"
    assert fact == facts.SampleJudged(ELF_SHA256, "cape", "known", "Mirai", score=8.5, link=f"{link}/7/")
    assert [(one.method, one.path) for one in server.asked] == [
        ("GET", f"/cape/apiv2/tasks/search/sha256/{ELF_SHA256}/"), ("GET", "/cape/apiv2/tasks/view/7/"),
    ]  # fmt: skip
    assert server.asked[0].headers["authorization"] == "Token t0ken"
    answers({"error": [], "data": [{"id": 9, "status": "running"}]})
    (fact,), _ = asked(settings, with_bytes=True)
    assert fact == facts.SampleJudged(ELF_SHA256, "cape", "submitted", link=f"{link}/9/")
    answers({"error": False, "data": []}, {"error": [], "data": {"task_ids": [10], "message": "…"}})
    (fact,), _ = asked(settings, with_bytes=True)
    assert fact == facts.SampleJudged(ELF_SHA256, "cape", "submitted", link=f"{link}/10/")
    assert server.asked[1].path == "/cape/apiv2/tasks/create/file/"
    assert file_of(server.asked[1]) == (ELF_SHA256, ELF)
    answers({"error": False, "data": []})
    (fact,), _ = asked(settings)
    assert fact.outcome == "unknown"
    for wrong, said in (
        ({"error": True, "error_value": "Task Search API is Disabled"}, "Search API is Disabled"),
        ({"error": False, "data": "tea"}, "something else"), ([], "something else"),
    ):  # fmt: skip
        answers(wrong)
        with pytest.raises(LaterError, match=said):
            asked(settings)
    answers({"error": False, "data": []}, {"error": [], "data": {"task_ids": []}})
    with pytest.raises(LaterError, match="made no task"):
        asked(settings, with_bytes=True)


# --- both ----------------------------------------------------------------------------------------


def test_trying_asks_for_what_nobody_has_and_hands_over_nothing(server: Answers) -> None:
    server.answers[:] = [NOT_FOUND, (200, {}, '{"error": false, "data": []}')]
    for settings in (kinds.VirusTotal("k", submit=True, url=server.url), kinds.Cape(server.url, submit=True)):
        format_, peer = make("it", settings, Path(), StoreSettings())
        assert tried(format_, peer) == ["answers; a sample that nobody has is unknown to it"]
    assert {one.method for one in server.asked} == {"GET"}
    assert all("0" * 64 in one.path for one in server.asked)


async def test_what_others_say_is_stated_by_the_farm_once_a_day(
    tmp_path: Path, server: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeder, "EVERY_S", 0.02)
    monkeypatch.setattr(feeder, "PAUSE_S_MIN", 0.05)
    server.answers[:] = [(429, {"Retry-After": "0"}, ""), (200, {}, json.dumps(FILE))]
    outputs = {"it": kinds.VirusTotal("k3y", per_minute=1000, url=server.url)}
    async with running(tmp_path, outputs=outputs) as farm, Uplink(farm) as uplink:
        await uplink.put(ELF)
        for number in range(2):  # the same sample twice
            await uplink.send(events(*INFECTION), 9 * number)
        await until(lambda: state(farm).told == 1)
        await farm.store.settle()
        await until(lambda: state(farm).waiting == 0)
        (judged,) = await samples.judgements(farm.store, ELF_SHA256)
        assert await samples.judgements(farm.store, "0" * 64) == []
    assert {
        "by": "virustotal",
        "label": "trojan.mirai/gafgyt",
        "positives": 41,
        "engines": 62,
    }.items() <= judged.items()
    assert len(server.asked) == 2
    assert ELF not in b"".join(one.body for one in server.asked)
