"""Whom a policy means: never us, nor what we have forked."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from eudaemon.possession.policies import Policy
from eudaemon.possession.watched import targets


def test_neither_we_nor_our_children_are_meant() -> None:
    program = os.path.realpath(sys.executable)
    line = [sys.executable, "-c", "import os, time; os.fork(); os.write(1, b'%d\\n' % os.getpid()); time.sleep(60)"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        try:
            assert process.stdout is not None
            numbers = {int(process.stdout.readline()) for _ in range(2)}
            found = {target.pid for target in targets(Policy(exe=program))}
        finally:
            os.killpg(process.pid, signal.SIGKILL)
    assert os.getpid() not in found
    assert process.pid not in found
    assert numbers - {process.pid} <= found  # a grandchild is nobody's that we need
