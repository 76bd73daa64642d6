"""The page in a real browser, on a real farm."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import axe_playwright_python
import pytest
from playwright.sync_api import Browser, Page, Route, ViewportSize, expect

from end_to_end.page_farm import CHROMIUM, Running, Watched, browser
from eudaemon.cli._capture import Capture
from eudaemon.cli._streams import Streams
from eudaemon.events import Fact
from eudaemon.events import catalogue as facts
from eudaemon.farm.outputs.journal import State
from eudaemon.wire import conversation
from payload.shellcode.assembling import under_xor
from payload.shellcode.shellcodes import download_and_execute

if not Path(CHROMIUM).exists():
    pytest.skip("Chromium is missing: apt-get install chromium", allow_module_level=True)

AXE = Path(axe_playwright_python.__file__).with_name("axe.min.js").read_text(encoding="utf-8")
DESKTOP, PHONE = ViewportSize(width=1280, height=800), ViewportSize(width=360, height=740)
MARKUP = "<script>alert(1)</script><img src=x onerror=alert(2)>"
STEERING = "\x1b]0;owned\x07\x1b[31mred\x1b[2J\u202egnp.exe\u200b\x00&lt;b&gt;"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    made = Running(tmp_path_factory.mktemp("farm"), events=3000)
    yield made
    made.stop()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as started:
        yield started


def logged_in(chromium: Browser, running: Running, **more: object) -> Watched:
    context = chromium.new_context(viewport=DESKTOP, **more)  # type: ignore[arg-type]
    context.set_default_timeout(15_000)
    watched = Watched(context, running.url)
    watched.login(running.password)
    return watched


@pytest.fixture(scope="module")
def desk(chromium: Browser, running: Running) -> Iterator[Watched]:
    watched = logged_in(chromium, running)
    yield watched
    watched.page.context.close()


@pytest.fixture(scope="module")
def phone(chromium: Browser, running: Running) -> Iterator[Watched]:
    watched = logged_in(chromium, running)
    watched.page.set_viewport_size(PHONE)
    yield watched
    watched.page.context.close()


@pytest.fixture(autouse=True)
def nothing_goes_wrong(desk: Watched) -> Iterator[None]:
    yield
    assert desk.complaints() == []


def infected(desk: Watched) -> str:
    """Return the newest session of which there are commands, a sample and a recording."""
    page = desk.open("/sessions?with_sample=true&room=telnet&span=all")
    over = page.locator("tbody tr").filter(has_not=page.locator(".chip.live"))
    href = over.first.locator("a.row-link").get_attribute("href")
    assert href
    return href


# --- views ---------------------------------------------------------------------------------------


def test_login_is_asked_for_and_a_wrong_password_is_said(chromium: Browser, running: Running) -> None:
    page = chromium.new_page()
    page.goto(f"{running.url}/samples")
    expect(page.get_by_label("User")).to_be_focused()
    page.get_by_label("User").fill("admin")
    page.get_by_label("Password").fill("wrong wrong wrong")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_have_text("User name or password is wrong.")
    page.get_by_label("Password").fill(running.password)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Samples")  # where one wanted to go
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("button", name="Log in")).to_be_visible()
    page.close()


def test_the_overview_fills(desk: Watched) -> None:
    page = desk.open("/?span=7d")
    attacks = int(page.locator(".figure .value").first.get_attribute("title").replace(",", ""))  # type: ignore[union-attr]
    assert 400 < attacks < 700
    assert page.locator(".timeline .attacks").count() > 20
    assert page.locator(".land:is(.s1,.s2,.s3,.s4,.s5)").count() > 20
    for panel in ("Countries", "Networks", "Addresses", "Credentials", "Ports", "Known exploits"):
        assert page.get_by_role("region", name=panel).locator("li").count() >= 3
    expect(page.get_by_role("region", name="Countries").locator("li").first).to_contain_text("China")


def test_an_event_appears_without_a_reload(desk: Watched, running: Running) -> None:
    page = desk.open("/")
    expect(page.locator(".feed-head [role=status]")).to_have_text("live")
    page.evaluate("window.same = true")
    before = int(page.locator(".figure .value").first.get_attribute("title").replace(",", ""))  # type: ignore[union-attr]
    running.happen(time.time(), [facts.SessionOpened("tcp", "telnet"), facts.LoginTried("liveuser", "livepass", False)])
    line = page.locator(".feed-line", has_text="liveuser / livepass")
    expect(line).to_be_visible()
    expect(line.locator("a")).to_have_text("198.51.100.66")
    # The numbers follow by themselves.
    expect(page.locator(".figure .value").first).to_have_attribute("title", f"{before + 1:,}", timeout=15_000)
    assert page.evaluate("window.same")


def test_many_tabs_share_one_live_feed_which_outlives_its_tab(chromium: Browser, running: Running) -> None:
    """A browser keeps six connections to a host: a feed for each tab would leave the seventh none to load with."""
    first = logged_in(chromium, running).page
    expect(first.locator(".feed-head [role=status]")).to_have_text("live")  # before the others come
    feeds: list[Page] = []
    first.context.on(
        "request", lambda request: feeds.append(request.frame.page) if "/api/live" in request.url else None
    )
    tabs = [first.context.new_page() for _ in range(8)]
    for page in tabs:
        page.goto(f"{running.url}/")
        expect(page.locator(".feed-head [role=status]")).to_have_text("live")
    assert feeds == []  # the first tab has it
    first.close()
    running.happen(time.time(), [facts.LoginTried("before", "succession", False)])
    for page in tabs:
        expect(page.locator(".feed-head [role=status]")).to_have_text("live")
    while not feeds:
        tabs[0].wait_for_timeout(50)
    for user in ("one", "two"):
        running.happen(time.time(), [facts.LoginTried(user, "shared", False)])
        for page in tabs:
            expect(page.locator(".feed-line", has_text=f"{user} / shared")).to_have_count(1)
    assert len(feeds) == 1
    tabs[0].get_by_role("button", name="Log out").click()
    expect(tabs[0].get_by_role("button", name="Log in")).to_be_visible()
    tabs[0].context.close()


def test_a_browser_in_which_tabs_cannot_agree_has_a_feed_for_each(chromium: Browser, running: Running) -> None:
    context = logged_in(chromium, running).page.context
    context.add_init_script("Object.defineProperty(navigator, 'locks', { value: undefined })")
    tabs = [context.new_page() for _ in range(2)]
    for page in tabs:
        page.goto(f"{running.url}/")
        expect(page.locator(".feed-head [role=status]")).to_have_text("live")
    running.happen(time.time(), [facts.LoginTried("old", "browser", False)])
    for page in tabs:
        expect(page.locator(".feed-line", has_text="old / browser")).to_have_count(1)
    context.close()


def test_a_paused_feed_stands_still_and_catches_up(desk: Watched, running: Running) -> None:
    page = desk.open("/")
    expect(page.locator(".feed-head [role=status]")).to_have_text("live")
    page.get_by_role("button", name="Pause").click()
    running.happen(time.time(), [facts.LoginTried("paused", "paused", False)])
    running.settle()
    page.wait_for_timeout(600)
    expect(page.locator(".feed-line", has_text="paused / paused")).to_have_count(0)
    page.get_by_role("button", name="Go on").click()
    expect(page.locator(".feed-line", has_text="paused / paused")).to_have_count(1)


def test_sessions_filter_page_and_keep_their_address(desk: Watched) -> None:
    page = desk.open("/sessions?span=7d")
    rows = page.locator("table.rows tbody tr")
    expect(rows).to_have_count(50)
    page.get_by_role("button", name="Older sessions").click()
    expect(rows).to_have_count(100)
    page.get_by_label("Country").fill("BR")
    page.get_by_role("button", name="Filter", exact=True).click()
    expect(page).to_have_url(re.compile("country=BR"))
    expect(page.locator("tbody .code").filter(has_not_text="BR")).to_have_count(0)
    expect(page.locator("tbody .code").first).to_have_text("BR")
    page.reload()
    expect(page.get_by_label("Country")).to_have_value("BR")
    page.go_back()
    expect(page.get_by_label("Country")).to_have_value("")
    expect(rows).to_have_count(50)
    page.get_by_label("Address or block").fill("10.0.0.0/8")
    page.keyboard.press("Enter")
    expect(page.get_by_text("No sessions fit")).to_be_visible()


def test_a_wrong_filter_is_said_in_words(desk: Watched) -> None:
    page = desk.open("/sessions")
    page.get_by_label("Address or block").fill("300.1.2.3")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("no address and no block")
    desk.wrong[:] = [w for w in desk.wrong if "422" not in w]  # the browser notes the refusal


def test_a_session_replays_in_the_terminal(desk: Watched) -> None:
    page = desk.open(infected(desk))
    screen = page.locator(".screen")
    expect(screen).to_contain_text("BCM96338 ADSL Router")
    expect(screen).to_contain_text("BusyBox v1.19.4 built-in shell (ash)")
    seek = page.get_by_label("Moment in the session")
    seek.fill("0")
    expect(screen).not_to_contain_text("BusyBox")
    page.get_by_role("button", name="Play").press("End")
    expect(screen).to_contain_text("BusyBox")
    seek.fill("0")
    page.get_by_label("Speed").select_option("16")
    screen.press(" ")
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    expect(screen).to_contain_text("rm -rf", timeout=20_000)
    expect(page.get_by_role("button", name="Play")).to_be_visible()
    page.get_by_role("button", name="Text").click()
    expect(page.locator(".both .attacker").first).to_contain_text("\\r\\n")


def test_telnet_s_own_commands_stay_off_the_screen_wherever_they_are_cut(desk: Watched) -> None:
    data = list(b"a\xff\xfd\x01b\xff\xfa\x18\x01\xff\xff\xff\xf0c\xff\xffd\xff\xf1e")
    shown = desk.open("/").evaluate(
        """async (data) => {
          const { telnetFilter } = await import("/js/telnet.js");
          return data.map((_, cut) => {
            const filter = telnetFilter();
            return [...filter(data.slice(0, cut)), ...filter(data.slice(cut))];
          });
        }""",
        data,
    )
    assert shown == [list(b"abc\xffde")] * len(data)


def test_telnet_s_own_commands_are_said_in_words(desk: Watched) -> None:
    parts = desk.open("/").evaluate(
        """async (data) => {
          const { telnetSplitter } = await import("/js/telnet.js");
          return telnetSplitter()(data);
        }""",
        list(b"\xff\xfd\x1f\xff\xfb\x01hi\xff\xff\xff\xfa\x1f\x00\x50\x00\x18\xff\xf0\xff\xf6\xff\xfc\x63"),
    )
    assert parts == [
        {"command": "DO WINDOW SIZE"}, {"command": "WILL ECHO"}, {"data": list(b"hi\xff")},
        {"command": "SB WINDOW SIZE 0 80 0 24"}, {"command": "ARE YOU THERE"}, {"command": "WONT 99"},
    ]  # fmt: skip


def test_lone_line_ends_become_a_terminal_s_wherever_they_are_cut(desk: Watched) -> None:
    data = list(b"a\nb\r\n\nc")
    shown = desk.open("/").evaluate(
        """async (data) => {
          const { lineEnds } = await import("/js/talk.js");
          return data.map((_, cut) => {
            const filter = lineEnds();
            return [...filter(data.slice(0, cut)), ...filter(data.slice(cut))];
          });
        }""",
        data,
    )
    assert shown == [list(b"a\r\nb\r\n\r\nc")] * len(data)


TEXTS = [
    b"# ls\r\n\x1b[1;34mbin\x1b[0m\x07\r\n",
    "Gr\u00fc\u00dfe \u4f60\u597d \U0001f642\r\n".encode(),
    b"\0\0\0",
    b"",
    b"caf\xe9",
]
BINARY = b"\x7fELF\x01\x01\x01" + bytes(9) + b"\x02\0\x28\0 the quick brown fox \xff\xfe"


def test_binary_is_folded_into_a_note_and_text_is_not(desk: Watched) -> None:
    folded = desk.open("/").evaluate(
        """async (all) => {
          const { foldBinary } = await import("/js/talk.js");
          return all.map((data) => [...foldBinary(Uint8Array.from(data))]);
        }""",
        [list(data) for data in (*TEXTS, b"# cat x\r\n" + BINARY + b"\r\n# ", BINARY + b"." * 40 + BINARY)],
    )
    note = b"\x1b[7m[%d bytes of binary]\x1b[27m" % len(BINARY)
    assert [bytes(data) for data in folded] == [
        *TEXTS, b"# cat x\r\n" + note + b"\r\n# ", note + b"." * 40 + note
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("how", "times"),
    [
        ({"brief": False, "reading": False}, [0, 3, 4, 9000, 9001]),
        ({"brief": True, "reading": False}, [0, 3, 4, 1504, 1505]),
        ({"brief": True, "reading": True}, [120, 123, 243, 1743, 1863]),
        ({"brief": False, "reading": True}, [120, 123, 243, 9239, 9359]),
    ],
)
def test_a_bot_s_typing_is_shown_at_a_pace_one_can_read(desk: Watched, how: dict[str, bool], times: list[int]) -> None:
    shown = desk.open("/").evaluate(
        """async (how) => {
          const { timesOf } = await import("/js/talk.js");
          const at = [["host", 0], ["attacker", 3], ["host", 4], ["attacker", 9000], ["host", 9001]];
          return timesOf(at.map(([side, ms]) => ({ side, ms })), how);
        }""",
        how,
    )
    assert shown == times


def test_how_things_are_said(desk: Watched) -> None:
    said = desk.open("/").evaluate(
        """async () => {
          const { countryName, ending, exactly, moment, says, unhexed } = await import("/js/format.js");
          return {
            moments: [moment(21.4, 60), moment(21.4, 5000), moment(61_000, 90_000)],
            heads: ["50494e470d0a", "1603", "", "<b>", undefined].map((head) => unhexed(head)),
            endings: [ending("peer"), ending("constructor")],
            nowhere: countryName(""),
            hijacked: says("control.hijacked", { how: "return", process: "nginx", verdict: "contain" }),
            offered: says("shell.offered", { way: "connect", system: "linux", host: "::", port: 4444, refused: "no" }),
            clock: exactly("2026-11-24T23:05:06Z"),
          };
        }"""
    )
    assert said["moments"] == ["21 ms", "0.0 s", "61.0 s"]
    assert said["heads"] == ["PING\r\n", "1603", "", "<b>", ""]
    assert said["endings"] == ["the attacker hung up", "constructor"]
    assert said["hijacked"] == ["took control of nginx (a return address); the thread was ended first", None, "hot"]
    assert said["offered"] == [
        "sent a shellcode for linux that calls its sender back; refused (no)", ":::4444", "hot"
    ]  # fmt: skip
    assert said["nowhere"] == "private or unknown"
    assert not re.search("[AP]M", said["clock"])


def test_a_session_within_milliseconds_can_be_followed(desk: Watched, running: Running) -> None:
    talk = conversation.MAGIC
    for ms, side, data in (
        (0, conversation.HOST, b"\xff\xfd\x1f\r\nlogin: "), (3, conversation.ATTACKER, b"root\r\n"),
        (4, conversation.HOST, b"root\r\n# "), (9, conversation.ATTACKER, b"cat /bin/echo\r\n"),
        (21, conversation.HOST, b"cat /bin/echo\r\n" + BINARY.replace(b"\xff", b"\xff\xff") + b"\r\n# "),
    ):  # fmt: skip
        talk += conversation.encode(side, ms, data)
    happened: list[Fact] = [
        facts.SessionOpened("tcp", "telnet"),
        facts.SessionClosed("telnet", "peer", 0.021, 20, 90, running.artefact(talk)),
    ]
    session = running.happen(time.time(), happened)
    running.settle()
    page = desk.open(f"/sessions/{session}")
    expect(page.locator(".facts")).to_contain_text("the attacker hung up")
    expect(page.locator(".fact").last.locator("time")).to_have_text("+100 ms")
    expect(page.locator(".controls .moment")).to_have_text("21 ms of 21 ms")
    screen, note = page.locator(".screen"), f"[{len(BINARY)} bytes of binary]"
    expect(screen).to_contain_text(note)
    page.get_by_label("Binary as it was").check()
    expect(screen).not_to_contain_text(note)
    expect(screen).to_contain_text("ELF")
    expect(page.get_by_label("Reading pace")).to_be_checked()
    stretched = int(page.get_by_label("Moment in the session").get_attribute("max") or 0)
    page.get_by_label("Reading pace").uncheck()
    expect(page.get_by_label("Moment in the session")).to_have_attribute("max", "21")
    assert stretched > 10 * 21
    page.get_by_role("button", name="Text").click()
    expect(page.locator(".both .host").first).to_contain_text("telnet: DO WINDOW SIZE")


def test_a_binary_conversation_is_shown_byte_by_byte_and_saved_as_packets(
    desk: Watched, running: Running, tmp_path: Path
) -> None:
    asked, answered, long = b"\x00\x00\x00\x2b\xffSMB" + bytes(39), b"\x00\x00\x00\x04\xfeSMB", bytes(range(256)) * 20
    talk = conversation.MAGIC
    for ms, side, data in (
        (0, conversation.ATTACKER, asked), (3, conversation.HOST, answered), (40, conversation.ATTACKER, long)
    ):  # fmt: skip
        talk += conversation.encode(side, ms, data)
    closed = facts.SessionClosed("smb", "reset", 0.04, len(asked + long), 8, running.artefact(talk))
    session = running.happen(time.time(), [facts.SessionOpened("tcp", "smb"), closed])
    running.settle()
    page = desk.open(f"/sessions/{session}")
    expect(page.get_by_role("button", name="Bytes")).to_have_attribute("aria-pressed", "true")
    said = page.locator(".dump > li")
    expect(said.nth(0)).to_contain_text("attacker, 47 bytes")
    expect(said.nth(0).locator(".hex-bytes").first).to_have_text("0000002bff534d42" + "00" * 8)
    expect(said.nth(1)).to_contain_text("honeypot, 8 bytes")
    expect(said.nth(1).locator(".hex-text")).to_have_text("·····SMB")
    expect(said.nth(2).locator(".hex-offset").first).to_have_text("0000002f")  # in what the attacker sent
    assert page.locator(".hex-row").count() == 256
    page.get_by_role("button", name="Next page").click()
    assert page.locator(".hex-row").count() == 3 + 1 + 320 - 256
    expect(said).to_contain_text("(continued)")
    expect(page.locator(".hex-bytes").last).to_have_text(bytes(range(240, 256)).hex())
    page.get_by_role("textbox", name="Page").fill("99")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Next page")).to_be_disabled()
    page.get_by_role("button", name="Text", exact=True).click()
    expect(page.locator(".both .host .raw")).to_contain_text("\\0\\0\\0\\x04þSMB")
    with page.expect_download() as saving:
        page.get_by_role("link", name="Download as pcapng").click()
    assert saving.value.suggested_filename == f"{session}.pcapng"
    saving.value.save_as(tmp_path / "it.pcapng")
    (read,) = Streams().read(Capture((tmp_path / "it.pcapng").read_bytes()).ip())
    assert (read.attacker, read.local) == (("198.51.100.66", 40226), ("192.0.2.1", 23))
    assert [data for _, data in read.pieces] == [asked, *(long[at : at + 1400] for at in range(0, len(long), 1400))]


@pytest.mark.parametrize(
    ("sizes", "pages"),
    [([], []), ([0], []), ([4096], [256]), ([4097], [256, 1]), ([1] * 256, [256]), ([1] * 257, [256, 1]),
     ([4080, 33, 20_000], [256] * 5 + [228])],
)  # fmt: skip
def test_a_page_of_bytes_has_so_many_rows_and_none_is_lost(desk: Watched, sizes: list[int], pages: list[int]) -> None:
    shown = desk.open("/").evaluate(
        """async (sizes) => {
          const { pagesOf } = await import("/js/dump.js");
          const side = (i) => (i % 2 ? "host" : "attacker");
          const pages = pagesOf(sizes.map((length, i) => ({ side: side(i), data: { length } })));
          return pages.map((page) => page.map(({ from, to }) => [from, to]));
        }""",
        sizes,
    )
    assert sum(to - begin for page in shown for begin, to in page) == sum(sizes)
    assert [sum(-(-(to - begin) // 16) for begin, to in page) for page in shown] == pages


def test_every_chip_leads_to_all_that_did_the_same(desk: Watched) -> None:
    page = desk.open("/sessions?span=7d&room=http&with_sample=true")
    rows = page.locator("table.rows tbody tr")
    name = rows.first.locator("a.chip.hot").nth(1).inner_text()
    cve = rows.first.locator("a.chip.hot", has_text="CVE-").inner_text()
    rows.first.locator("a.chip.hot", has_text="CVE-").click()
    expect(page).to_have_url(re.compile(f"room=http&with_sample=true&span=7d&exploit={cve}$"))  # they combine
    expect(rows.filter(has_not_text=cve)).to_have_count(0)
    expect(rows.filter(has_text=name).first).to_be_visible()
    expect(page.get_by_label("Exploit or CVE")).to_have_value(cve)
    page.get_by_label("brought a sample").uncheck()
    expect(page).not_to_have_url(re.compile("with_sample"))
    page.get_by_label("used a known exploit").check()
    expect(page).to_have_url(re.compile("with_exploit=true"))
    expect(page).to_have_url(re.compile("span=7d"))
    page.goto(page.url.replace("room=http", "room=telnet"))
    expect(page.get_by_text("No sessions fit")).to_be_visible()
    page = desk.open("/sessions?span=7d&with_command=true")
    expect(rows.filter(has_not_text="command")).to_have_count(0)
    sensor = rows.first.locator(".sensor").inner_text()
    rows.first.locator(".sensor").click()
    expect(page.get_by_label("Sensor")).to_have_value(sensor)
    expect(page.get_by_label("entered commands")).to_be_checked()
    when = "2026-01-02T03:04:05"
    page.get_by_label("Since").fill(when)
    page.keyboard.press("Enter")
    expect(page.get_by_label("Since")).to_have_value(when)
    assert f"since={page.evaluate('(t) => new Date(t).toISOString()', when).replace(':', '%3A')}" in page.url


def test_one_address_is_followed_across_its_sessions(desk: Watched, running: Running) -> None:
    ip, at_s = "198.51.100.77", time.time() - 60
    sample = running.artefact(b"#!/bin/sh\necho one visit\n")
    running.happen(at_s, [facts.SessionOpened("tcp", "telnet"), facts.LoginTried("visitor", "visits", True),
                          facts.CommandEntered("cat /proc/visit"), facts.ArtefactKept(sample, 25, "upload", "visit.sh"),
                          facts.SessionClosed("telnet", "peer", 1.0, 9, 9)], attacker=ip)  # fmt: skip
    running.happen(at_s + 20, [facts.SessionOpened("tcp", "http"), facts.ExploitRecognised("visited", "CVE-2000-7"),
                               facts.DownloadWished("http://203.0.113.9/visit", "wget"),
                               facts.SessionClosed("http", "peer", 1.0, 9, 9)], attacker=ip)  # fmt: skip
    hijacked = facts.ControlHijacked("return", "nginx", "/usr/sbin/nginx", 4711, "contain", "x", "ret")
    taken = running.happen(at_s + 40, [facts.SessionOpened("tcp", "possession"), hijacked,
                                       facts.SessionClosed("possession", "room", 0.0, 9, 0)], attacker=ip)  # fmt: skip
    running.settle()
    page = desk.open(f"/sessions/{taken}")
    page.get_by_role("heading", level=1).get_by_role("link").click()
    expect(page).to_have_url(re.compile(f"/addresses/{ip}$"))
    expect(page.locator("dl.facts").first).to_contain_text("3")
    for panel, text in (("Exploits", "visited CVE-2000-7"), ("Credentials", "visitor / visits"), ("URLs", "/visit"),
                        ("Commands", "cat /proc/visit"), ("Ports and rooms", "possession"), ("Brought", "visit.sh"),
                        ("Took control", "of nginx")):  # fmt: skip
        expect(page.get_by_role("region", name=panel, exact=True)).to_contain_text(text)
    line = page.locator(".address-line li")
    expect(line).to_have_count(12)
    expect(line.first).to_contain_text("ended after")
    expect(line.last).to_contain_text("connected to telnet")
    expect(page.locator(".address-line a")).to_have_count(3)
    expect(page.get_by_role("region", name="Newest sessions").locator("tbody tr")).to_have_count(3)
    page.get_by_role("region", name="Exploits").get_by_role("link").click()
    expect(page).to_have_url(re.compile(f"/sessions\\?network={ip}&span=all&exploit=visited$"))
    page.locator("tbody td a", has_text=ip).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Address {ip}")
    page.reload()  # the name holds dots, and is a place all the same
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Address {ip}")
    expect(desk.open("/addresses/203.0.113.254").get_by_text("Nothing is known")).to_be_visible()
    desk.wrong[:] = [w for w in desk.wrong if "404" not in w]  # the browser notes the refusal
    takeovers = desk.open("/").locator(".figure", has_text="Takeovers")
    assert int(takeovers.locator(".value").inner_text()) >= 1
    takeovers.get_by_role("link").click()
    expect(page.locator("tbody tr").first).to_contain_text("took control of nginx")


def test_raw_payloads_are_shown_apart_from_samples(desk: Watched, running: Running) -> None:
    payload = running.artefact(b"PING\r\n")
    happened: list[Fact] = [
        facts.SessionOpened("tcp", "catchall"),
        facts.PayloadClassified("unknown", b"PING\r\n".hex()),
        facts.ArtefactKept(payload, 6, "payload"),
    ]
    session = running.happen(time.time(), happened)
    running.settle()
    page = desk.open("/samples?span=1h")
    assert page.locator(f"a[href='/samples/{payload}']").count() == 0
    page.get_by_role("link", name="Raw payloads").click()
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page.locator(f"a[href='/samples/{payload}']")).to_be_visible()
    page = desk.open(f"/sessions/{session}")
    expect(page.locator(".fact", has_text="sent unknown bytes")).to_contain_text("PING")
    expect(page.locator(".facts")).not_to_contain_text("Brought")


def test_the_facts_of_a_session_open_up(desk: Watched) -> None:
    page = desk.open(infected(desk))
    fact = page.locator(".fact", has_text="logged in as")
    fact.locator("summary").press("Enter")
    expect(fact.locator(".fields")).to_contain_text("login.tried")
    page.locator(".facts .hash").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Sample")


def test_credentials_and_commands_are_ranked(desk: Watched) -> None:
    page = desk.open("/credentials?span=7d")
    expect(page.locator("tbody tr").first).to_contain_text("root / admin")
    page.get_by_role("link", name="Commands").click()
    expect(page.locator("tbody")).to_contain_text("/bin/busybox ECCHI")
    page.get_by_label("Only those with").fill("wget")
    page.keyboard.press("Enter")
    expect(page.locator("tbody tr").first).to_contain_text("wget")
    page.locator("tbody tr a").first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Sessions")
    expect(page.locator("tbody tr").first).to_contain_text("sample")


def test_who_only_spoke_is_told_from_who_only_connected(desk: Watched, running: Running) -> None:
    for address, recording in (("198.51.100.71", ""), ("198.51.100.72", "ab" * 32)):
        closed = facts.SessionClosed("ntp", "idle", 30.0, 48, 48, recording)
        running.happen(time.time(), [facts.SessionOpened("udp", "ntp"), closed], attacker=address)
    rows = desk.open("/sessions?span=24h&network=198.51.100.71").locator("tbody tr")
    expect(rows).to_have_count(1)
    expect(rows.first).to_contain_text("only connected")
    expect(desk.open("/sessions?span=24h&network=198.51.100.72").locator("tbody tr").first).to_contain_text(
        "spoke, did nothing"
    )


def test_a_password_that_no_answer_to_a_challenge_told_is_not_called_empty(desk: Watched, running: Running) -> None:
    answered = facts.ChallengeAnswered("challenged", "rtsp", "$response$")
    session = running.happen(time.time(), [facts.SessionOpened("tcp", "rtsp"), answered,
                                           facts.LoginTried("challenged", "", False),
                                           facts.SessionClosed("rtsp", "peer", 1.0, 10, 10)])  # fmt: skip
    page = desk.open("/credentials?span=7d&contains=challenged")
    expect(page.locator("tbody tr").first).to_contain_text("challenged / (empty or unknown)")
    page = desk.open(f"/sessions/{session}")
    expect(page.locator(".replay-panel")).to_contain_text("No recording was kept")
    expect(page.locator(".replay-panel")).to_contain_text("SSH without a shell")


def test_a_sample_shows_its_bytes_its_texts_and_what_brought_it(desk: Watched) -> None:
    page = desk.open("/samples?span=7d&order=count")
    expect(page.locator("tbody tr").first).to_contain_text("ELF 32-bit")
    page.locator("tbody .hash").first.click()
    expect(page.locator(".hex-row").first).to_contain_text("7f454c46")
    expect(page.locator(".hex-row").first).to_contain_text("·ELF")
    page.get_by_role("textbox", name="Offset").fill("0x200")
    page.keyboard.press("Enter")
    expect(page.locator(".hex-offset").first).to_have_text("00000200")
    page.get_by_role("button", name="Previous page").click()
    page.get_by_role("button", name="Texts").click()
    expect(page.locator(".string-list")).to_contain_text("<script>alert(1)</script>")
    page.locator(".string-list button").nth(1).click()
    expect(page.locator(".hex-text").first).to_contain_text("POST")
    expect(page.get_by_role("region", name="What brought it")).to_contain_text("http://198.51.100.")
    with page.expect_download() as saving:
        page.get_by_role("link", name="Save malware").click()
    assert saving.value.suggested_filename.endswith(".malware")


def test_sensors_say_what_is_wrong_in_words(
    desk: Watched, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    running.happen(time.time(), [facts.CaptureStopped("the disk is full")])
    health = {
        "version": "0",
        "capture": "the disk is full",
        "spool_events": 3,
        "spool_bytes": 10,
        "spool_bytes_max": 20,
    }
    running.farm.fleet.heard("lab", health, session_s=time.time(), clock_off_s=0.0)
    told = State("siem", waiting=7, told=1234, refused=0, dropped=0, faults=0, told_s=1.0, trouble="503 not now")
    with monkeypatch.context() as patched:
        patched.setattr(running.farm.outputs, "states", lambda: [told])
        page = desk.open("/sensors")
        expect(page.get_by_role("alert").first).to_contain_text("The output siem has 7 events to tell")
        said = "siem: 1,234 told, 7 events waiting; waits: 503 not now"
        expect(page.get_by_role("region", name="Farm")).to_contain_text(said)
    card = page.get_by_role("region", name="lab")
    expect(card).to_contain_text("needs attention")
    expect(card.get_by_role("alert").first).to_contain_text("full")
    expect(page.get_by_role("region", name="Farm")).to_contain_text("Disk free")


def test_search_by_slash_finds_everything(desk: Watched) -> None:
    page = desk.open("/")
    page.keyboard.press("/")
    expect(page.get_by_label("Search everything")).to_be_focused()
    page.keyboard.type("xc3511")
    page.keyboard.press("Enter")
    expect(page.get_by_role("region", name="Credentials")).to_contain_text("xc3511")
    page.keyboard.press("/")
    page.keyboard.type("100.64.0.0/16")
    page.keyboard.press("Enter")
    expect(page.get_by_role("region", name="Addresses")).to_contain_text("100.64.")
    page.keyboard.press("/")
    page.keyboard.type("nobody ever said this")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Nothing found")).to_be_visible()


def test_account(chromium: Browser, running: Running) -> None:
    running.farm.accounts.set_password("somebody", "a first password")
    context = chromium.new_context(viewport=DESKTOP)
    page = context.new_page()
    page.goto(f"{running.url}/account")
    page.get_by_label("User").fill("somebody")
    page.get_by_label("Password").fill("a first password")
    page.keyboard.press("Enter")
    page.get_by_label("What is it for?").fill("<b>nightly</b>")
    page.get_by_role("button", name="Create token").click()
    expect(page.locator(".fresh code")).to_contain_text("eud_")
    page.get_by_role("button", name="Revoke <b>nightly</b>").click()
    expect(page.get_by_text("No tokens")).to_be_visible()
    page.get_by_label("Current password").fill("a first password")
    page.get_by_label("New password", exact=True).fill("a second password")
    page.get_by_label("New password again").fill("another one entirely")
    page.get_by_role("button", name="Change password").click()
    expect(page.get_by_role("alert")).to_contain_text("differ")
    page.get_by_label("New password again").fill("a second password")
    page.get_by_role("button", name="Change password").click()
    expect(page.get_by_role("button", name="Log in")).to_be_visible()
    context.close()


def test_a_shellcode_says_what_it_does(desk: Watched, running: Running) -> None:
    code = under_xor(download_and_execute(), 0x99)
    sample = running.artefact(code)
    running.happen(
        time.time(), [facts.SessionOpened("tcp", "catchall"), facts.ArtefactKept(sample, len(code), "payload")]
    )
    for _ in range(100):
        running.settle()
        page = desk.open(f"/samples/{sample}")
        page.locator(".facts").wait_for()
        if "downloads" in page.locator(".facts").inner_text():
            break
    expect(page.locator(".facts")).to_contain_text("downloads http://203.0.113.7:8080/a.exe to c:\\a.exe")
    expect(page.locator(".facts")).to_contain_text("executes c:\\a.exe")


def test_what_others_say_of_a_sample(desk: Watched, running: Running) -> None:
    sample = running.artefact(b"\x7fELF and known elsewhere")
    judged = facts.SampleJudged(sample, "virustotal", "known", "trojan.mirai/<b>", 41, 62, link="javascript:alert(1)")
    running.happen(time.time(), [facts.SessionOpened("tcp", "ftp"), facts.ArtefactKept(sample, 24, "upload"), judged])
    running.settle()
    page = desk.open(f"/samples/{sample}")
    expect(page.locator(".facts")).to_contain_text("sample known to virustotal, 41 of 62 engines: trojan.mirai/<b>")
    assert page.locator(".facts a").count() == 0, "what somebody else says is no link"


# --- an attacker's bytes -------------------------------------------------------------------------


def hostile(running: Running) -> tuple[str, str]:
    """Let a session happen in which every text is hostile; return its id and its sample."""
    text = MARKUP + STEERING.replace("\x00", "")
    sample = running.artefact(b"#!/bin/sh\n" + MARKUP.encode() * 20)
    spoken = (
        f"\r\n{MARKUP}\r\n{STEERING}\x1b[?1049h\x1b[999;999H\x1b]8;;javascript:alert(3)\x07click\x1b]8;;\x07".encode()
    )
    talk = conversation.MAGIC + conversation.encode(conversation.HOST, 0, spoken)
    talk += conversation.encode(conversation.ATTACKER, 10, text.encode() + bytes(range(256)))
    recording = running.artefact(talk)
    url = f'javascript:alert(4)//"onmouseover="alert(5)" {text}'
    happened: list[Fact] = [
        facts.SessionOpened("tcp", text),
        facts.LoginTried(text, text, True),
        facts.CommandEntered(text, (text,)),
        facts.RequestReceived(text, text, text, text),
        facts.ExploitRecognised(text, text, text),
        facts.PayloadClassified(text, text),
        facts.PeerFaulted(text, text),
        facts.TlsAccepted(text, text, text, text),
        facts.DownloadWished(url, text),
        facts.DownloadFinished(url, "failed", text, "", 0, text, 0.1),
        facts.ArtefactKept(sample, 100, "upload", text, url),
        facts.SessionClosed(text, text, 1.0, 1, 1, recording),
    ]
    session = running.happen(time.time(), happened)
    running.settle()
    return session, sample


def test_hostile_text_is_shown_and_does_nothing(desk: Watched, running: Running) -> None:
    page = desk.open("/")
    session, sample = hostile(running)
    expect(page.locator(".feed-line", has_text="<script>alert(1)</script>").first).to_be_visible()
    places = ["/", f"/sessions/{session}", "/addresses/198.51.100.66", "/sessions?with_exploit=true",
              "/sessions?text=onerror", f"/samples/{sample}", "/samples", "/sensors",
              "/search?q=%3Cscript%3E", f"/search?q={session}"]  # fmt: skip
    places += [
        f"/credentials?kind={kind}" for kind in ("credentials", "users", "passwords", "commands", "exploits", "urls")
    ]
    for place in places:
        desk.open(place)
        page.wait_for_timeout(150)
        assert page.locator("main").inner_text().count("<script>alert(1)") > 0 or place in (
            "/sensors",
            f"/search?q={session}",
        ), place
        inert(page)
    desk.open(f"/sessions/{session}")
    page.get_by_role("button", name="Terminal").click()
    expect(page.locator(".screen")).to_contain_text("click")
    inert(page)
    page.get_by_role("button", name="Text").click()
    expect(page.locator(".both")).to_contain_text(MARKUP)
    expect(page.locator(".both .esc").first).to_be_visible()
    inert(page)
    page.get_by_role("button", name="Bytes").click()
    expect(page.locator(".dump .attacker .hex-text").first).to_contain_text("<script>")
    inert(page)
    assert page.title() == "Session · Eudaemon"


def inert(page: Page) -> None:
    """Hold that nothing of an attacker became an element, an attribute that acts, a link, or steered the text."""
    found = page.evaluate(
        r"""() => {
          const all = [...document.querySelectorAll("*")];
          const named = (selector, name) => [...document.querySelectorAll(selector)].map((e) => e.getAttribute(name));
          return {
            scripts: named("script", "src"),
            images: named("img, iframe, object, embed, video", "src"),
            handlers: all.filter((e) => [...e.attributes].some((a) => a.name.startsWith("on"))).length,
            links: named("a[href]", "href").filter((href) => !href.startsWith("/")),
            steering: document.body.textContent.match(/[\0-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e]/),
          };
        }"""
    )
    assert found["scripts"] == ["/js/theme.js", "/js/app.js"]
    assert set(found["images"]) <= {"/icon.svg"}
    assert (found["handlers"], found["links"], found["steering"]) == (0, ["#main"], None)


# --- for everybody -------------------------------------------------------------------------------

VIEWS = ["/", "/sessions", "SESSION", "BINARY", "/addresses/100.64.0.1",
         "/credentials", "/credentials?kind=commands", "/samples", "SAMPLE", "/sensors",
         "/search?q=root", "/search", "/account", "/no/such/place"]  # fmt: skip


def place(desk: Watched, view: str) -> str:
    if view == "BINARY":
        page = desk.open("/sessions?port=445&room=catchall&span=all")
        return str(page.locator("tbody tr a.row-link").first.get_attribute("href"))
    if view == "SESSION":
        return infected(desk)
    if view == "SAMPLE":
        return str(desk.open("/samples?span=all").locator("tbody .hash").last.get_attribute("href"))
    return view


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("view", VIEWS)
def test_axe_finds_no_barrier(desk: Watched, view: str, scheme: str) -> None:
    path = place(desk, view)
    desk.page.emulate_media(color_scheme="dark" if scheme == "dark" else "light", reduced_motion="reduce")
    page = desk.open(path)
    page.wait_for_timeout(300)
    page.evaluate(AXE)
    only = ", runOnly: ['color-contrast']" if scheme == "dark" else ""  # the rest is the same in every colour
    found = page.evaluate(f"axe.run(document, {{resultTypes: ['violations']{only}}})")
    told = [
        (v["id"], [node["html"][:120] + " " + node["failureSummary"] for node in v["nodes"][:3]])
        for v in found["violations"]
    ]
    assert told == []


def test_axe_finds_no_barrier_at_the_login(chromium: Browser, running: Running) -> None:
    page = chromium.new_page()
    page.goto(running.url)
    page.wait_for_selector("h1")
    page.evaluate(AXE)
    assert page.evaluate("axe.run(document).then((r) => r.violations.map((v) => v.id))") == []
    page.close()


@pytest.mark.parametrize("view", VIEWS)
def test_a_phone_needs_no_scrolling_sideways(phone: Watched, view: str) -> None:
    page = phone.open(place(phone, view))
    page.wait_for_timeout(300)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    for link in page.locator(".places a").all():  # the way around is in reach of a thumb
        box = link.bounding_box()
        assert box
        assert box["height"] >= 40
        assert box["y"] + box["height"] <= PHONE["height"] + 1
    assert phone.complaints() == []


def test_the_keyboard_goes_everywhere(desk: Watched) -> None:
    page = desk.open("/")
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    reached = set()
    for _ in range(150):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate(
                "document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent.trim()"
            )
        )
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none" or page.evaluate("document.activeElement === document.body")
    assert {"Zoom in", "Pause"} <= {r for r in reached if r}
    timeline = page.get_by_role("slider")
    timeline.press("End")
    timeline.press("ArrowLeft")
    assert "attack" in str(timeline.get_attribute("aria-valuetext"))
    timeline.press("Enter")
    expect(page).to_have_url(re.compile("/sessions.since="))
    expect(page.locator("main")).to_be_focused()
    page.go_back()
    world = page.locator(".map svg")
    world.press("+")
    assert world.get_attribute("viewBox") != "0 0 10000 4319"
    world.press("0")
    assert world.get_attribute("viewBox") == "0 0 10000 4319"


def test_the_theme_follows_the_system_until_one_is_chosen(chromium: Browser, running: Running) -> None:
    watched = logged_in(chromium, running, color_scheme="dark")
    page = watched.page
    colour = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(colour)
    page.get_by_role("button", name="Use light colours").click()
    light = page.evaluate(colour)
    assert light != dark
    page.reload()
    page.wait_for_selector(".bar")
    assert page.evaluate(colour) == light
    assert watched.complaints() == []
    page.context.close()


NOTHING = {
    "/api/recent": [], "/api/sessions": {"sessions": [], "next": None}, "/api/samples": {"samples": [], "next": None},
    "/api/sensors": {"sensors": [], "warnings": [], "farm": {}},
}  # fmt: skip


def test_an_empty_farm_says_what_to_do_next(chromium: Browser, running: Running) -> None:
    watched = logged_in(chromium, running)
    context = watched.page.context
    for path, answer in NOTHING.items():
        context.route(re.compile(rf"{path}(\?|$)"), partial(Route.fulfill, json=answer))
    context.route("**/api/ranked/**", partial(Route.fulfill, json=[]))
    for place, words in (
        ("/", "Nothing has happened yet"),
        ("/", "Nothing in this span"),
        ("/sessions", "Nobody has attacked"),
        ("/samples", "No samples"),
        ("/credentials", "Nothing here"),
        ("/sensors", "No sensor yet"),
    ):
        expect(watched.open(place).get_by_text(words).first).to_be_visible()
    assert watched.complaints() == []
    context.close()


def test_a_farm_that_is_gone_is_said_to_be_gone_and_found_again(chromium: Browser, running: Running) -> None:
    watched = logged_in(chromium, running)
    page = watched.open("/sensors")
    page.context.set_offline(True)
    page.get_by_role("link", name="Samples").click()
    expect(page.get_by_role("alert")).to_contain_text("does not answer")
    page.context.set_offline(False)
    expect(page.locator("tbody .hash").first).to_be_visible()
    page.context.close()
