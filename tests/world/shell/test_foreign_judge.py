"""Where both can be asked, the real BusyBox ash decides what a line means."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from world.shell.told import Told

BUSYBOX = shutil.which("busybox")

LINES = r"""
echo hello   world
echo -n a; echo b
echo -e 'a\tb\x41\0101\n'; echo -ne '\x7f\x45'; echo -e 'a\cb'; echo c
echo -e '\x6b\x61\x6d\x69/tmp'; echo '\x41'; echo -E -e 'a\nb'; echo -x; echo - a; echo -- b
printf '%s %d\n' a 1 b 2; printf '\101\n'; printf '%5s|%-5s|%05d|%x\n' a b 42 255; printf '%b' 'a\nb'; printf '%%\n'
printf 'no newline'; printf '%c%c' abc def; printf '%s\n'; printf '%.2s\n' abcdef; printf '%o\n' 8
echo "a'b" 'a"b' a\ b "a\"b" "a\b" "\$x" '\$x'
x=1; y=$x; echo $x$y "${x}2" ${x}3
echo ${x:-d} ${x-e} ${x:+f}; x=; echo ${x:-d} ${x-e} ${x:+f} ${x+g}; echo ${z:=h} $z
x=hello.tar.gz; echo ${#x} ${x%.*} ${x%%.*} ${x#*.} ${x##*.} ${x:1:3} ${x:2} ${x/l/L} ${x//l/L}
x="a b  c"; echo $x; echo "$x"; for i in $x; do echo [$i]; done
x=$(echo a; echo b); echo "$x"; echo $x; echo `echo c` `echo \`echo d\``
echo $((1+2*3)) $(( (1+2)*3 )) $((7/2)) $((-7/2)) $((7%3)) $((1<<4)) $((5>3)) $((5==3)) $((!5)) $((~5)) $((1?2:3))
x=5; echo $((x+1)) $((x*=2)) $x $((x++)) $x $((0x1f)) $((010)) $((1&&0)) $((1||0)) $((6&3)) $((6|3)) $((6^3))
true && echo yes || echo no; false && echo yes || echo no; ! true; echo $?; ! false; echo $?
if true; then echo a; elif true; then echo b; else echo c; fi; if false; then echo a; elif true; then echo b; fi
if [ 1 -eq 1 ]; then echo eq; fi; [ a = b ]; echo $?; [ a != b ] && echo ne; test 3 -gt 2; echo $?
[ -z "" ] && echo z; [ -n "a" ] && echo n; [ ! -z a ] && echo nz; [ a = a -a b = b ] && echo and
[ a = b -o b = b ] && echo or
[ -f /nonexistent ]; echo $?; [ -d / ] && echo d; [ -e / ] && echo e; [ "" ]; echo $?; [ x ]; echo $?; [ ]; echo $?
[ \( a = b \) -o c ] && echo p; [ ! a = b ] && echo q; [ 2 -lt 10 ] && echo lt; [ 2 \> 10 ] && echo gt
for i in 1 2 3; do echo $i; done; for i in a b; do for j in c d; do echo $i$j; done; done
i=0; while [ $i -lt 3 ]; do echo $i; i=$((i+1)); done; until [ $i -eq 0 ]; do i=$((i-1)); done; echo $i
for i in 1 2 3 4; do [ $i = 2 ] && continue; [ $i = 4 ] && break; echo $i; done
for i in 1 2; do for j in 1 2; do [ $j = 2 ] && continue 2; echo $i$j; done; done
case abc in a*) echo star;; *) echo other;; esac; case x in a|x) echo alt;; esac; case '*' in \*) echo lit;; esac
case abc in [a-c]bc) echo range;; esac; case b in [!a]) echo not;; esac; case a.b in *.b) echo dot;; esac
f() { echo "$1 $# $@"; return 3; }; f a b; echo $?; f "a b" c
set -- a "b c" d; echo $# $1 "$2"; for i in "$@"; do echo [$i]; done
for i in $*; do echo [$i]; done; shift; echo $1; shift 2; echo $#
(x=1; echo $x); echo "[$x]"; { echo a; echo b; } | cat; (echo a; echo b) | tail -n 1; (exit 3); echo $?
echo a > f; echo b >> f; cat f; cat < f; echo c > f; cat f; rm f; cat f 2>/dev/null; echo $?
echo err >&2; echo out 2>/dev/null; (echo a; echo b >&2) 2>&1 | cat; echo x >/dev/null
while read i; do echo "[$i]"; done < /etc/hostname > /dev/null
printf 'a b\nc d' > g; while read x y; do echo $y-$x; done < g; rm g
printf 'a\\tb\n' | while read x; do echo "$x"; done
printf 'a\\tb\n' | while read -r x; do echo "$x"; done; echo ' a  b ' | (read x; echo "[$x]")
echo a | tr a-z A-Z; echo abcabc | tr -d b; echo aabb | tr -s ab; echo hello | tr 'el' 'ip'; echo abc | tr -cd ab
echo a:b:c | cut -d: -f2; echo a:b:c | cut -d : -f 1,3; echo abcdef | cut -c2-4; echo abc | cut -c1
echo a:b:c | cut -d: -f2-
printf '3\n1\n2\n' | sort; printf 'b\na\nb\n' | sort -u; printf '10\n9\n' | sort -n
printf '10\n9\n' | sort; printf 'a\nb\n' | sort -r
printf 'a\na\nb\n' | uniq; printf 'a\na\nb\n' | uniq -c; printf 'a\na\nb\n' | uniq -d
printf 'a\nb\nc\n' | head -n 2; printf 'a\nb\nc\n' | tail -n 2; printf 'abcdef' | head -c 3; echo
printf 'a\nb\nc\n' | tail -n +2; printf abc | tail -c +2; seq 3 | tail -n +0; seq 3 | tail -n+3
printf 'abcdef' | tail -c 3; printf 'a\nb\n' | head -1
printf 'a b\nc\n' | wc -l; printf 'a b\nc\n' | wc -w; printf 'a b\nc\n' | wc -c
printf 'foo\nbar\nbaz\n' | grep ba; printf 'foo\nbar\n' | grep -v ba
printf 'foo\nbar\n' | grep -c o; printf 'Foo\n' | grep -i foo; printf 'foo\n' | grep -q x; echo $?
printf 'foo\nbar\n' | grep -E 'fo+|x'; printf 'foo\n' | grep '^f.*o$'
printf 'a1\nb\n' | grep '[0-9]'; printf 'ab\n' | grep -o 'b'; printf 'x\ny\n' | grep -n y
printf 'aXbX\n' | sed 's/X/-/'; printf 'aXbX\n' | sed 's/X/-/g'; printf 'a\nb\nc\n' | sed -n 2p
printf 'a\nb\nc\n' | sed 2d; printf 'a\nb\n' | sed '/a/d'
printf 'abc\n' | sed 's/b/[&]/'; printf 'a/b\n' | sed 's|/|:|'; printf 'a\nb\nc\n' | sed '1,2d'
printf 'aaa\n' | sed 's/a*/x/'; printf 'foo.bar\n' | sed 's/\./_/;s/f/g/'
printf 'a b c\n' | awk '{print $2}'; printf 'a:b\n' | awk -F: '{print $2,$1}'
printf 'a b\nc d\n' | awk '/c/ {print $NF}'; printf 'a b\n' | awk '{print $1"-"$2}'
printf 'ab12cd\n' | sed 's/\([a-z]*\)\([0-9]*\)/\2-\1/'; echo 1.2.3.4 | sed -E 's/(([0-9]+)\.){3}([0-9]+)/\3 \2 \1/'
echo aaaa | sed 's/a/b/2'; echo aaaa | sed 's/a/b/2g'; echo baaac | sed 's/a*/x/g'; echo abc | sed 's/x*/-/g'
echo 'root:x:0:0' | sed -r 's/^([^:]+):.*$/\1/'; echo abab | sed 's/\(ab\)*/<\1>/'; echo foo | sed 's/\(a\|f\)o/[\1]/'
seq 6 | sed -n '2,4p'; seq 6 | sed '$d'; seq 6 | sed -n '$='; seq 6 | sed '3q'; seq 6 | sed '/2/,/4/d'
seq 3 | sed '1!d'
seq 6 | sed -n '/5/,$p'; seq 6 | sed '4,2d'; seq 4 | sed -e 1d -e '$d'; seq 4 | sed -n -e '2{p;p}'
seq 4 | sed '2,3{s/^/x/;s/$/y/}'
seq 3 | sed '2i before'; seq 3 | sed '2a after'; seq 3 | sed '2c changed'; seq 4 | sed '2,3c both'
seq 4 | sed -n 'n;p'; seq 3 | sed =
echo hello | sed 'y/el/ip/'; echo a/b | sed 's,/,:,'; echo 'a;b' | sed 's/;/x/;s/b/c/'; echo Foo | sed 's/foo/x/I'
echo a.b | sed 's/[.]/-/'
echo 'a/b/c' | sed 's/[/]/-/g'; echo aXb | sed 's/X/\n/'; echo x | sed 's/x/a\&b/'; seq 12 | sed -n '/1/{/2/p}'
seq 3 | sed '/2/!s/$/!/'
printf 'a\nb' | sed 's/b/c/'; printf 'x=1\ny=2\n' | sed -n 's/^y=//p'; seq 3 | sed -n '2{p' ; seq 3 | sed 's/a'
seq 3 | sed k 2>/dev/null; echo $?
echo x > f; sed -i 's/x/y/' f; cat f; sed -n '1p' f f; rm f
echo ab | sed 's/a//;s//b/' 2>/dev/null | wc -l; echo aa | sed '/a/s//b/g'
printf 'a b c\n' | awk '{print NF, NR, $0}'; printf 'a:b:c\n' | awk -F: '{print $NF}'
printf 'a b\nc d\n' | awk 'NR==2{print $1}'
printf '1 x\n20 y\n3 z\n' | awk '$1 > 2 {print $2}'; printf '1 x\n20 y\n' | awk '$1 == 20'
printf 'a\nb\n' | awk 'END {print NR}'
awk 'BEGIN {print "hi"; print 1+2*3, 7%3, 1/4, 10/5}'; awk 'BEGIN { x = 5; x += 2; print x, x*x, -x }'
printf 'a b\n' | awk '{print $1,$2; print $1 $2}'
printf 'foo 1\nbar 2\n' | awk '/foo/ && $2 < 2 {print "ok"} !/foo/ {print "no"}'
printf 'foo\nbar\n' | awk '$1 ~ /^f/'; printf 'foo\nbar\n' | awk '$1 !~ /o$/ {print}'
printf 'a 5\nb 50\n' | awk '{if ($2 > 9) print $1; else print "small"}'
printf '3\n4\n' | awk '{s += $1} END {print s, s/NR}'; printf 'a b c\n' | awk '{$2 = "x"; print}'
awk 'BEGIN {printf "%s-%d %5.5s|%x\n", "a", 42, "b", 255}'; printf 'a b\n' | awk '{printf "%s\n", $2}'
printf 'a b\n' | awk -v x=3 '{print x+1, x y}'
printf 'a,b;c\n' | awk -F'[,;]' '{print $1 $2 $3}'; printf ' a  b \n' | awk '{print $1"|"$2"|"NF}'
printf 'a\tb c\n' | awk -F'\t' '{print $2}'; printf 'a||b\n' | awk -F'|' '{print NF}'
awk 'BEGIN {print length("hello"), substr("hello",2,3), index("hello", "l"), toupper("abc"), tolower("ABC"), int(9/2)}'
echo hello | awk '{print length}'; awk 'BEGIN{print substr("hello",0,2) substr("hello",4)}'
printf 'a\nb\nc\n' | awk 'NR==1{next} {print}'; printf 'a\nb\n' | awk '{print; exit}'; awk 'BEGIN {exit 3}'; echo $?
printf 'a\n' | awk '{ print NR ": " $0 }'; echo 5 | awk '{x = $1; x++; print x--; print x}'
printf 'b 2\na 1\n' | awk '{print $2" "$1}' | sort
echo 'x 1.50' | awk '{print $2 + 0, $2, 0.1 + 0.2, 1e3, 100000 * 100000}'
echo a | awk '{print 1 == 1.0, "a" < "b", "10" < "9", 10 < 9}'; echo '10 9' | awk '{print $1 < $2}'
awk 'BEGIN {OFS="-"; print "a","b"}'; echo 'a b' | awk '{OFS=":"; $1=$1; print}'
echo | awk '{print NF ? "some" : "none"}'; printf 'x\n\ny\n' | awk 'NF'
printf 'a b\n' | awk '{print $(NF-1), $(1+1)}'; echo 'a b' | awk '{ print ($1 == "a") ? "yes" : "no" }'
seq 3; seq 2 4; basename /a/b.c .c; dirname /a/b/c; dirname a; expr 1 + 2; expr length abc
echo hi | md5sum; echo hi | sha256sum; echo hi | base64; echo aGk= | base64 -d
printf '\x7fELF\1\2\3\0%s' 0123456789abcdefg > h; hexdump -e '16/1 "%c"' -n 20 h; hexdump -v -e '/1 "%02x"' h; rm h
printf '\x7fELF\1\2\3\0%s' 01234567 > h; hexdump -v -e '4/1 "%02x " "\n"' h; hexdump -v -e '"\\x" 1/1 "%02x"' h; rm h
printf 'abcdefghijklmnop' | hexdump -v -e '1/2 "%d,"'; printf 'ab\1d' | hexdump -v -e '/1 "%_p"'
awk 'BEGIN {printf "%c%c%c|%5c|%d%%\n", 69, "x", 76, 70, 7}'
printf 'AB' | hexdump -C; printf 'ABC' | od -x; printf 'AB\n' | od -c
printf 'AB' | xxd; printf 'AB' | xxd -p; echo 4142 | xxd -r -p; printf 'ab\0cdefg\0' | strings
echo a b c | xargs echo x; printf 'a\nb\n' | xargs -n 1 echo; echo a | xargs -I{} echo [{}]
echo a | tee t; cat t; rm t
dd if=/dev/zero bs=4 count=2 2>/dev/null | hexdump -C; echo abcdef | dd bs=1 skip=2 count=3 2>/dev/null
mkdir d; cd d; touch x y .z; ls; echo *; echo .*; echo x* [xy] ?; echo nope*; cd ..; ls d; rm -r d; ls
mkdir -p a/b/c; ls a; echo x > a/b/f; cat a/b/f; cp a/b/f a/g; cat a/g; mv a/g a/h; ls a; rm -rf a
[ -e a ]; echo $?
ln -s /etc l; readlink l; [ -L l ] && echo link; rm l; echo x > e; chmod 755 e; [ -x e ] && echo exec; rm e
eval 'echo a; x=5'; echo $x; sh -c 'echo $0 $1' a b; echo 'echo piped' | sh; echo 'echo file $1' > s
sh s q; . ./s; rm s
x='a;b'; echo $x; y='$x'; echo $y; eval echo $y; echo "${x}" '${x}' "$(echo "$x")" "`echo $x`"
IFS=:; x=a:b:c; for i in $x; do echo $i; done; set -- $x; echo $2
echo a;echo b&&echo c||echo d; echo a # comment; echo b; echo a#b
unset x; echo "[$x]"; export Y=1; sh -c 'echo $Y'; Z=2 sh -c 'echo $Z'; echo "[$Z]"; env | grep -c '^Y='
echo ${#} $#; command -v cd; type cd; pwd > /dev/null; echo ~ | wc -l; echo "~"; echo $?
a=1 b=2; echo $a$b; a=$b; echo $a; echo ${a}b; echo $a-$b; echo "$a"'$b'
x=abc; case $x in a?c) echo q;; esac; [ "$x" = abc ] && { echo t; }; [ $x = abc ] && (echo u)
{ echo a; }; { echo b; } > f; cat f; rm f; if echo c; then :; fi; : ; echo $?; true; echo $?; false; echo $?
echo$IFS"x" 2>/dev/null; echo${IFS}y; {echo,z} 2>/dev/null; X=$'a\tb'; echo "$X"
echo \\ "\\" '\\'
echo -e 'a\\b'; echo -e '\\x41'; echo -e '\1'; echo -e '\0'| wc -c; echo -e '\x4'; echo -e '\x'
exit 3; echo never
"""


def lines() -> list[str]:
    return LINES.strip().split("\n")


# What scripts of today take for granted, and only bash knows: it is the judge.
OF_BASH = r"""
a=(one two three); echo ${a[0]} ${a[1]} ${a[@]} ${#a[@]} "${a[@]:1}"; a[1]=2; unset 'a[0]'; echo "${a[@]}"
a=(x "y z"); a+=(w); for i in "${a[@]}"; do echo "<$i>"; done; echo ${#a[*]} ${!a[@]}; n=1; echo ${a[$n]} ${a[n]} ${a[-1]}
declare -A m; m[k]=v; m[j]=w; echo ${m[k]} ${m[j]}; IFS=.; a=(1 2 3); echo "${a[*]}"
IFS=: read -r u p <<< "root:x"; echo "$u-$p"; IFS= read -r l <<< " a b "; echo "[$l]"; IFS=. read -r a b c <<< 1.2.3.4; echo $c
while read -r l; do echo "<$l>"; done < <(printf 'x\ny\n'); cat <(echo a) <(echo b); bash <(echo 'echo in'); . <(echo 'x=5'); echo $x
diff <(echo a) <(echo a) && echo same; mapfile -t l < <(printf 'a\nb\n'); echo ${l[1]} ${#l[@]}; IFS=, read -ra p <<< a,b; echo ${p[1]}
for ((i=0;i<3;i++)); do [ $i = 1 ] && continue; echo $i; done; ((x=3+4)); echo $x; ((x>5)) && echo big; ((x--)); echo $x
for i in {1..3} x{a,b} {01..03}; do echo $i; done; for i in {3..1}; do echo $i; done
x=hello; echo ${x^^} ${x^} ${x: -2} ${x/#he/q} ${x/%lo/w}; y=ABC; echo ${y,,} ${y,}; v=x; echo ${!v}; x+=s; echo $x
[[ abc == a* ]] && echo glob; [[ abc == "a*" ]] || echo quoted; [[ abc =~ ^a(b|x)c$ ]] && echo regex; [[ abc =~ x ]] || echo none
x=; [[ -z $x && 1 -lt 2 ]] && echo and; [[ $x == y || ( a < b ) ]] && echo or; [[ ! -f /nonexistent ]] && echo not
echo a &> f; cat f; echo b &>> f; cat f; exec 3>out; echo three >&3; exec 3>&-; cat out; exec 4<<<"line"; read -u 4 l; echo $l
trap 'echo bye' EXIT; (trap "echo inner" EXIT; echo a); echo hi
d=$(mktemp -d) && [ -d "$d" ] && echo dir; t=$(mktemp); [ -f "$t" ] && echo file; echo $((2**10)) $((16#ff)) $((2#101))
printf 'a\nb\n' | paste -sd,; printf 'a\nb\n' | tac; echo abc | rev; printf 'a\nb\n' | nl; echo abc | fold -w1; yes | head -n 2
setsid echo sid; printf '%s\n' a b c | shuf | wc -l; { (( 1 )) && echo one; }; (( 0 )) || echo zero; ( (echo sub) )
"""  # noqa: E501


@pytest.mark.parametrize("line", OF_BASH.strip().split("\n"))
def test_a_line_prints_what_bash_prints(line: str, tmp_path: Path) -> None:
    line = line.replace("\\\\", "\\")
    environment = {"PATH": "/usr/bin:/bin", "HOME": "/root", "LC_ALL": "C", "TZ": "UTC"}
    real = subprocess.run(
        ["bash", "-c", line], capture_output=True, cwd=tmp_path, env=environment, timeout=10, stdin=subprocess.DEVNULL
    )
    told = Told()
    told.run("cd /tmp; mkdir judged; cd judged; x=; unset x OLDPWD")
    assert told.run(f"({line}\n) 2>/dev/null </dev/null | cat") == real.stdout.decode("latin-1")


@pytest.fixture(scope="module")
def applets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if BUSYBOX is None:
        pytest.skip("install busybox-static: the judge of what a line means")
    place = tmp_path_factory.mktemp("bin")
    listed = subprocess.run([BUSYBOX, "--list"], capture_output=True, text=True, check=True).stdout.split()
    for name in listed:
        (place / name).symlink_to(BUSYBOX)
    return place


@pytest.mark.parametrize("line", lines())
def test_a_line_prints_what_busybox_prints(line: str, applets: Path, tmp_path: Path) -> None:
    environment = {"PATH": str(applets), "HOME": "/root", "LC_ALL": "C", "TZ": "UTC"}
    real = subprocess.run(
        [applets / "ash", "-c", line],
        capture_output=True,
        cwd=tmp_path,
        env=environment,
        timeout=10,
        stdin=subprocess.DEVNULL,
    )
    told = Told()
    told.run("cd /tmp; mkdir judged; cd judged; x=; unset x OLDPWD")
    ours = told.run(f"({line}\n) 2>/dev/null | cat")
    assert ours == real.stdout.decode("latin-1")
    assert os.listdir(tmp_path) == told.run("ls | cat").split()
