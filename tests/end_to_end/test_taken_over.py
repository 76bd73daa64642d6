"""From an attack on a possessed process to the farm's page: who it was, what it took over, and the code it brought."""

from __future__ import annotations

import asyncio
import hashlib
import sys
from contextlib import ExitStack

import pytest

from end_to_end.honeynet import public_folder, running
from possession.alarms import why_not
from possession.assault import WAYS, assailed
from possession.attacks import BY_NAME, HIJACK
from possession.victims import missing


@pytest.mark.skipif(bool(why_not()), reason=why_not())
async def test_an_alert_is_on_the_page_with_the_injected_code() -> None:
    attack = BY_NAME["code-stack"]
    if reason := missing(attack.victim):
        pytest.skip(reason)
    with ExitStack() as stack:
        place = stack.enter_context(public_folder())
        victim = stack.enter_context(assailed(attack.victim, WAYS["tcp"]))
        async with running(place) as net:
            command = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "eudaemon", "possess", str(victim.pid), "--taint", "inet", "--on-alert", "kill",
                "--data", str(net.data), stdout=asyncio.subprocess.PIPE,
            )  # fmt: skip
            assert command.stdout is not None
            assert b"possessed" in await command.stdout.readline()
            victim.conversation().send(attack.payload(victim.at))
            said, _ = await asyncio.wait_for(command.communicate(), 60)
            assert (command.returncode, b"ALERT" in said) == (4, True)

            found = await net.until("/api/sessions", lambda seen: bool(seen["sessions"]), room="possession")
            (session,) = found["sessions"]
            assert session["hijacked"] == victim.process.args[0].rpartition("/")[2][:15]  # type: ignore[index,union-attr]
            assert (session["ip"], session["port"]) == ("127.0.0.1", victim.port)
            shown = await net.get(f"/api/sessions/{session['session']}")
            (fact,) = [event["fields"] for event in shown["events"] if event["kind"] == "control.hijacked"]
            assert (fact["how"], fact["verdict"]) == ("code", "kill")
            assert fact["code"] == hashlib.sha256(HIJACK).hexdigest()
            assert await net.raw(f"/api/samples/{fact['code']}/download") == HIJACK
