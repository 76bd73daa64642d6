"""Runs a farm as the command does, confined and without root, uses it, and says what was imported late.

`python imports_child.py HOME [UID]`; UID is whom to become, and without one it is not confined.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import ssl
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from eudaemon.app import confine
from eudaemon.events import catalogue as facts
from eudaemon.farm.outputs import feeder
from eudaemon.farm.outputs import settings as outs
from farm.farms import body, event, settings, sha256


def use(page: int, intake: int, secret: str, password: str) -> None:
    """Do with a farm what sensors and people do, with nothing but the standard library."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    sensor = http.client.HTTPSConnection("127.0.0.1", intake, context=context)
    bearer = {"Authorization": f"Bearer lab:{secret}"}
    data = b"\x7fELF" + bytes(5000)
    events = [event(facts.LoginTried("a", "b", accepted=True)), event(facts.ArtefactKept(sha256(data), 5004, "upload")),
              event(facts.ControlHijacked("jump", "httpd", "/httpd", 1, "contain", "a"))]  # fmt: skip
    for method, path, content, status in (
        ("PUT", f"/intake/v1/artefacts/{sha256(data)}", data, 201),
        ("HEAD", f"/intake/v1/artefacts/{sha256(data)}", None, 200),
        ("POST", "/intake/v1/batch", body(events), 200),
        ("POST", "/intake/v1/batch", b"nonsense", 400),
    ):
        sensor.request(method, path, content, bearer)
        answer = sensor.getresponse()
        answer.read()
        assert answer.status == status, (method, path, answer.status)

    browser = http.client.HTTPConnection("127.0.0.1", page)
    browser.request("POST", "/api/login", json.dumps({"user": "admin", "password": password}),
                    {"Content-Type": "application/json"})  # fmt: skip
    answer = browser.getresponse()
    answer.read()
    assert answer.status == 200
    cookie = {"Cookie": (answer.headers["set-cookie"] or "").partition(";")[0]}
    for path in ("/", "/api/openapi.json", "/api/overview", "/api/sessions", "/api/samples", "/api/sensors",
                 f"/api/samples/{sha256(data)}", "/api/search?q=elf", "/api/nowhere",
                 "/api/samples?limit=x"):  # fmt: skip
        browser.request("GET", path, headers=cookie)
        answer = browser.getresponse()
        answer.read()
        assert answer.status in (200, 404, 422), (path, answer.status)


async def main(home: Path) -> None:
    from eudaemon.farm.server import Farm

    outputs = {
        "files": outs.Directory(), "beside": outs.Directory(str(home.parent / "beside")),
        "post": outs.Post("https://localhost:1/"), "feeds": outs.Hpfeeds("localhost", 1, "a", "b"),
        "udp": outs.Syslog("localhost", 9, "udp"), "redis": outs.Redis("localhost", 1),
        "mail": outs.Mail("localhost", 1, sender="a@b.example", recipients=("c@d.example",)),
        "chat": outs.Webhook("https://localhost:1/"), "elastic": outs.Elasticsearch("https://localhost:1/"),
        "virustotal": outs.VirusTotal("k", url="https://localhost:1/"),
        "bucket": outs.Bucket("s3://out", endpoint="http://127.0.0.1:1", access_key_id="a", secret_access_key="b"),
    }  # fmt: skip
    feeder.SETTLE_S = 0.0
    farm = Farm(settings(), home, None, outputs)
    secret = farm.fleet.enrol("lab")
    farm.preload()
    farm.bind()
    if len(sys.argv) > 2:
        confine(int(sys.argv[2]), home, farm.outputs.directories)
    before = set(sys.modules)
    password = farm.prepare()
    assert password
    stop = asyncio.Event()
    task = asyncio.create_task(farm.run(stop))
    await asyncio.to_thread(use, farm._ports["page"], farm._ports["intake"], secret, password)
    while not all(state.told or state.trouble for state in farm.outputs.states()):
        await asyncio.sleep(0.05)
    while farm.samples.catalogue.unidentified(1):
        await asyncio.sleep(0.05)
    await farm.store.settle()
    kinds = await farm.store.query("SELECT DISTINCT kind FROM events ORDER BY kind")
    await farm.remove_old(time.time() + 10_000 * 86_400)
    stop.set()
    await task
    assert len(list((home.parent / "beside").iterdir())) == 1
    print("served:", *(row["kind"] for row in kinds))
    print("late:", sorted(set(sys.modules) - before))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
