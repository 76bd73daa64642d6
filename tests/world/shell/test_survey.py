"""What is said of a command before it runs: whether it reads what its caller sends it."""

from __future__ import annotations

import pytest

from eudaemon.world.shell.survey import reads_input


@pytest.mark.parametrize(
    "text",
    [
        "cat > /tmp/x", "cat - > x", "cd /tmp && cat >x; chmod +x x", "/bin/busybox cat >x", "tee x", "tee x >a",
        "sh", "sh -s", "dd of=/tmp/x", "dd of=x bs=1k", "base64 -d > x", "gunzip -c > x", "tar xz", "tar xzf -",
        "while read i; do echo $i; done", "(cat)", "if true; then cat; fi", "passwd", "chpasswd", "passwd root",
        "crontab -", "xargs rm", "head -c 100", "head -n 5 > x", "wc -c", "sed s/a/b/", "grep x", "id\ncat > x",
    ],
)  # fmt: skip
def test_what_reads_its_input(text: str) -> None:
    assert reads_input(text.encode())


@pytest.mark.parametrize(
    "text",
    [
        "", "id", "cat /proc/cpuinfo", "cat < x", "echo a | cat > x", "echo root:x | chpasswd", "sh x.sh", "sh -c id",
        "dd if=a of=b", "base64 -d x", "tar xzf x.tgz", "echo a | while read i; do echo $i; done", "cat <<E\na\nE",
        "sed s/a/b/ x", "grep root /etc/passwd", "head -n 5 x", "f() { cat; }", "cat 'unfinished", "wget -qO- a | sh",
        "uname -a; nproc; free -m", "for i in 1 2; do echo $i; done", "if (", "wc -l /etc/passwd", "crontab -l",
    ],
)  # fmt: skip
def test_what_does_not(text: str) -> None:
    assert not reads_input(text.encode())
