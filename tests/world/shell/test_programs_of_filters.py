"""`sed` and `awk` take whatever program there is: it prints something, or is refused, and each limit is one past."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from eudaemon.world.shell.applets import _awk
from eudaemon.world.shell.applets.sed import LEVELS_MAX, STEPS_MAX
from eudaemon.world.shell.limits import CALL_LEVELS_MAX
from world.shell.told import Told

bounded = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
AWK_PIECES = (
    "BEGIN END { } ( ) print printf if else next exit $ NF NR FS OFS x = += ++ -- ! ~ !~ && || < > == ? : , ; + - * / "
    '% /a/ /[/ "a" "%s%d%c" 1 0.5 1e9 99999999999999999999 length substr( index( int('
)
SED_PIECES = ("s/a/b/", "s/\\(a*\\)b/\\1\\2&/g", "y/a/b/", *"dpqnc={}1$,!;s", "a x", "i\\", "/a/", "/[/", "\n", "2,4",
              "99999999999", "s/a/b/9p", "\\", " ")  # fmt: skip
AWK = st.lists(st.sampled_from([*AWK_PIECES.split(), "\n"]) | st.text(max_size=2), max_size=16).map(" ".join)
SED = st.lists(st.sampled_from(SED_PIECES) | st.text(max_size=2), max_size=12).map("".join)


def quoted(program: str) -> str:
    return "'" + program.replace("'", "").replace("\0", "") + "'"


@bounded
@given(program=AWK)
@example(program="{$99999999 = 1; print NF}")
@example(program='BEGIN {printf "%99999999s%*d", 1}')
@example(program="BEGIN {x = 1e300 * 1e300; print x, -x, x - x, x % 2, int(x), substr(x, x, x - x); $x = 1}")
@example(program='BEGIN {++ "a"}')
def test_any_awk(program: str) -> None:
    Told().run("printf 'a 1 b\\n\\nab 2\\n' | awk " + quoted(program))


@bounded
@given(script=SED)
@example(script="s/a/b/9p1")
def test_any_sed(script: str) -> None:
    Told().run("printf 'aab\\nb\\n\\na' | sed " + quoted(script))


DEEP = [
    f"awk '{program}'"
    for program in (
        "BEGIN {print " + "(" * 2000 + "1" + ")" * 2000 + "}",
        "BEGIN {print 1" + "+1" * 1500 + "}",
        "BEGIN {print 1" + " 1" * 1500 + "}",
        "BEGIN {print " + "!" * 3000 + "1}",
        "BEGIN {print " + "$" * 3000 + "1}",
        "BEGIN {print " + "x=" * 1500 + "1}",
        "BEGIN {print " + "1?1:" * 900 + "1}",
        "BEGIN " + "{" * 1500 + "}" * 1500,
        "BEGIN {" + "if(1)" * 700 + "x}",
    )
]
DEEP += ["sed '" + "{" * 2000 + "p" + "}" * 2000 + "'", "echo a | sed -E 's/" + "(" * 500 + "a" + ")" * 500 + "/b/'"]


@pytest.mark.parametrize("line", DEEP, ids=[line[:30] for line in DEEP])
def test_what_is_too_deep_is_refused_also_where_the_shell_is_deep_already(line: str) -> None:
    told = Told()
    assert told.run(line + " 2>/dev/null") == ""
    told.run("f() { if [ $1 = 0 ]; then " + line + "; else f $(($1-1)); fi; }")
    told.run(f"f {CALL_LEVELS_MAX // 4}")
    assert told.run("echo on") == "on\n"


def test_what_is_just_deep_enough_still_runs_where_the_shell_is_deep() -> None:
    told = Told()
    depth = _awk.LEVELS_MAX - 3
    program = "BEGIN {print " + "(" * depth + "1" + ")" * depth + "+1" * _awk.LINKS_MAX + "}"
    told.run(f"f() {{ if [ $1 = 0 ]; then awk '{program}'; else f $(($1-1)); fi; }}")
    for level in (0, CALL_LEVELS_MAX // 4):
        assert told.run(f"f {level}") == f"{_awk.LINKS_MAX + 1}\n"
    assert "Too long" in told.run(f"awk '{program[:-1]}+1}}'")


def test_how_long_a_script_of_sed_may_be() -> None:
    told = Told()
    assert told.run("echo a | sed '" + ";".join(["s/a/a/"] * STEPS_MAX) + "'") == "a\n"
    assert "script too long" in told.run("echo a | sed '" + ";".join(["s/a/a/"] * (STEPS_MAX + 1)) + "'")
    for levels, said in ((LEVELS_MAX, "b\n"), (LEVELS_MAX + 1, "sed: script too long\n")):
        assert told.run("echo a | sed '" + "{" * levels + "s/a/b/" + "}" * levels + "'") == said


def test_a_pattern_that_backtracks_elsewhere_costs_a_line_no_more_than_it_may() -> None:
    told = Told()
    told.run("x=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa; x=$x$x$x$x")
    assert told.run("echo $x | sed -E 's/^(((a*)*)*)*b/\\1/' | wc -c") == "129\n"
    assert told.run("echo $x | awk '/^((a*)*)*b/ {print}'") == ""
