"""A printer's port 9100: what PJL answers, what its disk holds, and that jobs are kept."""

from __future__ import annotations

import pytest

from eudaemon.events.catalogue import CommandEntered, ExploitRecognised, FileRequested
from eudaemon.protocols._base import Claim
from eudaemon.protocols.printer import (
    JOB_BYTES_MAX,
    JOBS_MAX,
    LINE_BYTES_MAX,
    LINES_MAX,
    UEL,
    UPLOAD_BYTES_MAX,
    Printer,
)
from eudaemon.testing.script import Table, play, visit
from eudaemon.wire import Purse
from eudaemon.world.host import Host
from eudaemon.world.seed import Seed
from payload.servers import content

SCRIPT = r"""
> @PJL ECHO hello 17\r\n@PJL RDYMSG DISPLAY = "pay me"\r\n@PJL INFO STATUS\r\n
< @PJL ECHO hello 17\r\n\x0c@PJL INFO STATUS\r\nCODE=10001\r\nDISPLAY="pay me"\r\nONLINE=TRUE\r\n\x0c
! command.entered line='@PJL RDYMSG DISPLAY = "pay me"'
> @PJL FSDIRLIST NAME = "0:\\" ENTRY=1 COUNT=4\r\n
< @PJL FSDIRLIST NAME="0:\\" ENTRY=1\r\n. TYPE=DIR\r\n.. TYPE=DIR\r\nPJL TYPE=DIR\r\nPostScript TYPE=DIR\r\n\x0c
> @PJL FSDOWNLOAD FORMAT:BINARY SIZE=5 NAME="0:/PJL/a.sh"\r\nid;\x00\n@PJL FSQUERY NAME="0:/PJL/a.sh"\r\n
< @PJL FSQUERY NAME="0:/PJL/a.sh" TYPE=FILE SIZE=5\r\n\x0c
^ upload 0:/PJL/a.sh 69643b000a
! file.requested action='write' path='0:/PJL/a.sh' done=True
> @PJL FSUPLOAD NAME="0:/PJL/a.sh" OFFSET=1 SIZE=2\r\n
< @PJL FSUPLOAD FORMAT:BINARY NAME="0:/PJL/a.sh" OFFSET=1 SIZE=2\r\nd;\x0c
> @PJL FSDELETE NAME="0:/PJL/a.sh"\r\n@PJL FSUPLOAD NAME="0:/PJL/a.sh"\r\n
< @PJL FSUPLOAD NAME="0:/PJL/a.sh"\r\nFILEERROR=3\r\n\x0c
! file.requested action='read' done=False
> @PJL DINQUIRE CPLOCK\r\n@PJL INFO NONSENSE\r\n@PJL\r\n
< @PJL DINQUIRE CPLOCK\r\n"?"\r\n\x0c@PJL INFO NONSENSE\r\n"?"\r\n\x0c
> @PJL JOB NAME="flyer"\r\n@PJL ENTER LANGUAGE=PCL\r\n\x1bEHello\x1b%-1
> 2345X@PJL EOJ\r\n
^ upload flyer 1b4548656c6c6f
"""


def talk(bytes_max: int = 64 << 20) -> Table:
    return Table(Printer(visit(port=9100, purse=Purse(bytes_max)))).open()


@pytest.mark.parametrize("split", [0, 1])
def test_what_a_client_sees(split: int) -> None:
    play(Printer, SCRIPT, split=split)


def test_what_it_is() -> None:
    models = set()
    for number in range(40):
        table = Table(Printer(visit(host=Host.from_seed(Seed(b"%d" % number))))).open()
        said = table.say(UEL + b"@PJL INFO ID\r\n" + UEL + b"\r\n")
        assert said.startswith(b'@PJL INFO ID\r\n"')
        models.add(said)
    assert len(models) > 6


def test_the_way_out_of_its_disk() -> None:
    table = talk()
    said = table.say(b'@PJL FSUPLOAD NAME="0:/../../../etc/passwd" OFFSET=0 SIZE=4096\r\n')
    assert b"root:" in said
    assert ExploitRecognised("printer-traversal", "CVE-2010-4107", "0:/../../../etc/passwd") in table.facts
    assert FileRequested("read", "0:/../../../etc/passwd") in table.facts
    assert CommandEntered('@PJL FSUPLOAD NAME="0:/../../../etc/passwd" OFFSET=0 SIZE=4096') in table.facts


@pytest.mark.parametrize("split", [0, 7])
def test_a_job_without_pjl_is_kept(split: int) -> None:
    table = talk()
    job = b"%!PS-Adobe-3.0\n" + content(5000)
    table.say(job, split)
    table.end()
    assert [(keep.data, keep.partial) for keep in table.kept] == [(job, False)]


def test_what_breaks_off_is_kept_as_a_part() -> None:
    table = talk()
    table.say(b'@PJL FSDOWNLOAD SIZE=100 NAME="0:/x"\r\nabc')
    table.end()
    assert [(keep.data, keep.name, keep.partial) for keep in table.kept] == [(b"abc", "0:/x", True)]


def test_limits() -> None:
    for past in (0, 1):
        table = talk()
        table.say(b"@PJL " + b"x" * (LINE_BYTES_MAX - 5 + past))
        assert bool(table.fault) == bool(past)
        table = talk()
        table.say(b"@PJL EOJ\r\n" * (LINES_MAX + past))
        assert bool(table.fault) == bool(past)
        table = talk()
        table.say(b"%!" + bytes(JOB_BYTES_MAX - 2 + past))
        assert bool(table.fault) == bool(past)
        table = talk()
        table.say(b'@PJL FSDOWNLOAD SIZE=%d NAME="x"\r\n' % (JOB_BYTES_MAX + past))
        assert bool(table.fault) == bool(past)
    table = talk()
    table.say((UEL + b"job") * (JOBS_MAX + 1) + UEL)
    assert len(table.kept) == JOBS_MAX
    table = talk()
    size = UPLOAD_BYTES_MAX + 1
    table.say(b'@PJL FSDOWNLOAD SIZE=%d NAME="0:x"\r\n' % size + bytes(size))
    assert b"SIZE=%d\r\n" % UPLOAD_BYTES_MAX in table.say(b'@PJL FSUPLOAD NAME="0:x"\r\n')
    table = talk(bytes_max=1000)
    table.say(b'@PJL FSDIRLIST NAME="0:" ENTRY=1\r\n')
    assert b"FILEERROR" in table.sent


def test_whose_conversation_it_is() -> None:
    for first, claim in ((b"\x1b", Claim.UNSURE), (UEL, Claim.YES), (b"@PJL INFO", Claim.YES), (b"GET /", Claim.NO)):
        assert Printer.claim(first) is claim, first


def test_a_folder_without_a_name_is_the_disk() -> None:
    assert talk().say(b"@PJL FSDIRLIST ENTRY=1\r\n").startswith(b'@PJL FSDIRLIST NAME="" ENTRY=1\r\n. TYPE=DIR\r\n')
