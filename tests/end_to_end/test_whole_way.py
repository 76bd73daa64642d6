"""The whole way once, as a new user goes it: up, an attack, and its binary on the page, byte for byte."""

from __future__ import annotations

import base64
import hashlib
import random
from functools import partial

import httpx
import pytest

from end_to_end.honeynet import Honeynet, public_folder, running
from eudaemon.demo.loader import attack
from eudaemon.demo.sample import harmless_for


async def sample_of(net: Honeynet, payload: bytes) -> dict[str, object]:
    """Wait until the farm has the bytes and has identified them; return what it says of them."""
    sha256 = hashlib.sha256(payload).hexdigest()
    await net.until("/api/samples", lambda found: sha256 in [s["sha256"] for s in found["samples"]])
    found: dict[str, object] = await net.until(f"/api/samples/{sha256}", lambda sample: bool(sample["description"]))
    return found


async def test_an_uploaded_binary_arrives_with_its_session() -> None:
    with public_folder() as place:
        async with running(place) as net:
            outcome = await attack("127.0.0.1", net.ports["telnet"], payload=harmless_for, method="echo")
            assert outcome.succeeded, (outcome.stage, outcome.text()[-500:])
            sample = await sample_of(net, outcome.payload)
            assert sample["size"] == len(outcome.payload)
            session = (await net.get("/api/sessions", room="telnet"))["sessions"][0]["session"]
            talk = await net.get(f"/api/sessions/{session}/conversation")
            said = b"".join(base64.b64decode(piece["data"]) for piece in talk["pieces"] if piece["side"] == "host")
            assert said.startswith(bytes(outcome.transcript))  # it leaves at the last word that it waits for


async def test_what_is_downloaded_from_the_page_is_what_the_attacker_brought() -> None:
    note = random.Random(2).randbytes(35_000).hex()
    with public_folder() as place:
        async with running(place) as net:
            outcome = await attack(
                "127.0.0.1", net.ports["telnet"], payload=partial(harmless_for, note=note), method="echo", timeout_s=60
            )
            assert outcome.succeeded, outcome.stage
            await sample_of(net, outcome.payload)
            sha256 = hashlib.sha256(outcome.payload).hexdigest()
            assert await net.raw(f"/api/samples/{sha256}/download") == outcome.payload


async def test_nothing_is_told_without_login() -> None:
    with public_folder() as place:
        async with running(place) as net, httpx.AsyncClient(base_url=net.page) as stranger:
            for path in ("/api/overview", "/api/sessions", "/api/samples", "/api/sensors", "/api/live"):
                assert (await stranger.get(path)).status_code == 401, path


async def test_it_is_not_up_before_its_store_is_open_and_then_still_tells_the_password() -> None:
    with public_folder() as place:
        in_the_way = place / "data" / "farm" / "store" / "engine"
        in_the_way.parent.mkdir(parents=True)
        in_the_way.touch()
        with pytest.raises(AssertionError, match="it did not start"):
            async with running(place) as net:
                pass
        said = (place / "log").read_text()
        assert said.count("eudaemon.farm.store.engine.EngineError: ") == 2
        assert said.endswith("eudaemon: farm did not start (exit code 1); its reason stands above\n")
        in_the_way.unlink()
        async with running(place) as net:
            assert "user admin, password " in net.said


async def test_the_ports_are_moved_by_what_the_settings_say() -> None:
    with public_folder() as place:
        async with running(place, sensor="port_offset = 3") as net:
            assert f"telnet tcp     {net.ports['telnet'] + 3}\n" in net.said
