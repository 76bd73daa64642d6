"""The settings file: every complaint names its line, every setting is documented, the example is the defaults."""

from __future__ import annotations

from pathlib import Path

import pytest

from eudaemon import settings
from eudaemon.settings import Document, SettingsError, declared, is_installed, kind_of
from tidy.tree import ROOT

WRONG = [
    ("[sensor\n", 1, "no TOML"),
    ("x = 1\n", 1, "no section"),
    ("[sensors]\n", 1, "no section"),
    ("[general]\n\nlog_levle = 'info'\n", 3, "did you mean log_level"),
    ("[general]\nlog_level = 'loud'\n", 2, "one of 'debug'"),
    ("[general]\nlog_level = 7\n", 2, "text in quotes"),
    ("[general]\nsensor_uid = 0\n", 2, "at least 1"),
    ("[general]\nsensor_uid = true\n", 2, "a whole number"),
    ("[general]\nsensor_uid = 9999999999\n", 2, "at most"),
    ("[sensor]\nlisten = 'telnet tcp 23'\n", 2, "list of texts"),
    ("[sensor]\nlisten = [\n  'telnet tcp 23',\n  'tea tcp 70000',\n]\n", 2, "sensor.listen"),
    ("[fetch]\nurls_max = 3\nports = ['nc,tcp 80', 'gopher 70']\n", 3, "there is no scheme 'gopher'"),
    ("[fetch]\nports = ['nc']\n", 2, "is not of the form"),
    ("[fetch]\nports = ['nc 80,0']\n", 2, "'0' is neither a port nor a range"),
    ("[fetch]\nports = ['nc,tcp 80', 'tcp 81']\n", 2, "the ports of tcp stand in another line"),
    ("# a\n[sensor]\nport_offset = 65535\n", 3, "at most 65,534"),
    ("# a\n[sensor.limits]\nno_such = 1\n", 3, "no setting sensor.limits.no_such"),
    ("sensor = 3\n", 1, "must be a section"),
    ("[watch]\npolicies = 3\n", 2, "must be a list of tables: [[watch.policies]]"),
    ("[[watch.policies]]\nwhen = 'always'\n", 1, "says of no process"),
    ("[[watch.policies]]\nexe = 'a'\n[[watch.policies]]\nexe = 'b'\non = 'x'\n", 5, "no setting watch.policies.2.on"),
    ("[[watch.policies]]\nexe = 'a'\naddresses = ['x']\n", 3, "does not appear to be an IPv4 or IPv6 network"),
    ("[[watch.policies]]\nexe = 'a'\ntaint = 'tea'\n", 3, "no source of input"),
    ("[[watch.policies]]\nexe = 'a'\n" * 65, 0, "there are 65 of [[watch.policies]]; there may be 64"),
    ("[outputs]\nx = 3\n", 2, "outputs.x must be a section"),
    ("outputs = 3\n", 1, "outputs must hold sections: [outputs.NAME]"),
    ("[outputs.x]\nurl = 'y'\n", 1, "outputs.x.to is missing; it must be one of 'directory', 's3'"),
    ("[outputs.x]\n\nto = 'ftp'\n", 3, "outputs.x.to is 'ftp'; it must be one of"),
    ("[outputs.x]\nto = 7\n", 2, "outputs.x.to is 7; it must be one of"),
    ("[outputs.x]\nto = 'http'\nurl = 'gopher://x'\n", 3, "is no URL of the form https://host/path"),
    ("[outputs.x]\nto = 'http'\nurl = 'https://u:p@h/'\n", 3, "a secret does not belong into a URL"),
    ("[outputs.x]\nto = 'http'\nurl = 'https://h/'\nformt = 'stix'\n", 4, "did you mean format?"),
    ("# a\n[outputs.x]\nto = 'misp'\n", 2, "[outputs.x] says no url and no key"),
    ("[outputs.x]\nto = 'syslog'\nhost = 'h'\nformat = 'stix'\n", 4, "it must be one of 'events'"),
    ("[outputs.x]\nto = 'hpfeeds'\nchannels = ['tea']\n", 3, "there is no channel 'tea'; there are"),
    ("[outputs.x]\nto = 'splunk'\nurl = 'https://h/'\n", 1, "[outputs.x] says no token"),
    (
        "[outputs.x]\nto = 'splunk'\nurl = 'https://h/'\ntoken = 't'\nformat = 'notices'\n",
        5,
        "it must be one of 'events'",
    ),
    ("[outputs.x]\nto = 'elasticsearch'\nurl = 'https://h/'\nindex = 'Tea'\n", 4, "'Tea' is no name of an index"),
    ("[outputs.x]\nto = 'taxii'\nuser = 'a\u00e4'\n", 3, "not of printable ASCII characters"),
    ("[outputs.x]\nto = 'redis'\nhost = 'h'\nhow = 'tea'\n", 4, "it must be one of 'publish'"),
    ("[outputs.x]\nto = 'redis'\nhost = 'h'\nkept_max = 0\n", 4, "at least 1"),
    ("[outputs.x]\nto = 'webhook'\nurl = 's3cret'\n", 3, "no URL of the form https://host/path"),
    ("[outputs.x]\nto = 'webhook'\nurl = 'https://h/'\nshape = 'telegram'\n", 1, "[outputs.x] says no chat"),
    ("[outputs.x]\nto = 'webhook'\nurl = 'https://h/'\nshape = 'own'\n", 1, "says a template, and not"),
    ("[outputs.x]\nto = 'webhook'\nurl = 'https://h/'\nshape = 'own'\ntemplate = '{'\n", 5, "no JSON"),
    ("[outputs.x]\nto = 'webhook'\nurl = 'https://h/'\nshape = 'own'\ntemplate = '{}'\n", 5, "$text stands nowhere"),
    ("[outputs.x]\nto = 'webhook'\nurl = 'https://h/'\nevery_s = 0\n", 4, "at least 1"),
    ("[outputs.x]\nto = 'mail'\nhost = 'h'\nsender = 'me'\n", 4, "'me' is no address of mail"),
    ("[outputs.x]\nto = 'mail'\nhost = 'h'\nrecipients = ['a@b', 'c@d, e@f']\n", 4, "is no address of mail"),
    (
        "[outputs.x]\nto = 'mail'\nhost = 'h'\nsender = 'a@b'\nrecipients = ['c@d']\n"
        "security = 'none'\npassword = 'p'\n",
        1,
        "it would be read by everybody",
    ),
    ("[outputs.x]\nto = 'virustotal'\n", 1, "[outputs.x] says no key"),
    ("[outputs.x]\nto = 'virustotal'\nkey = 'k'\nper_minute = 0\n", 4, "at least 1"),
    ("[outputs.x]\nto = 'cape'\nurl = 'cape'\n", 3, "is no URL of the form"),
    ("[outputs.'a b']\nto = 'directory'\n", 1, "'a b' is no name"),
    ("".join(f"[outputs.x{n}]\nto = 'directory'\n" for n in range(65)), 0, "there are 65 of [outputs.NAME]"),
    ("[sensor.uplink]\nurl = 'https://farm.example:8601'\n", 1, "no secret or no fingerprint"),
]


@pytest.mark.parametrize(("text", "line", "complaint"), WRONG)
def test_what_is_wrong_is_named_with_its_line(text: str, line: int, complaint: str, tmp_path: Path) -> None:
    path = tmp_path / "eudaemon.toml"
    path.write_text(text)
    with pytest.raises(SettingsError) as raised:
        settings.read(path)
    assert str(raised.value).startswith(f"{path}:{line}: " if line else f"{path}: ")
    assert complaint in str(raised.value)


def test_a_secret_that_is_wrong_is_not_repeated(tmp_path: Path) -> None:
    path = tmp_path / "eudaemon.toml"
    path.write_text("[outputs.x]\nto = 'urlhaus'\nkey = 4711\n")
    with pytest.raises(SettingsError) as raised:
        settings.read(path)
    assert str(raised.value) == f"{path}:3: outputs.x.key must be text in quotes"


def test_a_url_that_is_a_secret_is_not_repeated_either(tmp_path: Path) -> None:
    path = tmp_path / "eudaemon.toml"
    path.write_text("[outputs.x]\nto = 'webhook'\nurl = 'htps://hooks.example/0penSesame'\n")
    with pytest.raises(SettingsError) as raised:
        settings.read(path)
    assert str(raised.value).startswith(f"{path}:3: outputs.x.url")
    assert "0penSesame" not in str(raised.value)


def test_outputs_have_names() -> None:
    document = Document("[outputs.a]\nto = 'directory'\n[outputs.b]\nto = 'syslog'\nhost = 'h'\nport = 6514\n")
    document.check()
    found = document.part("outputs", kind_of("outputs"))
    assert [(name, type(one).__name__) for name, one in found.items()] == [("a", "Directory"), ("b", "Syslog")]
    assert found["b"].port == 6514
    full = Document("".join(f"[outputs.x{n}]\nto = 'directory'\n" for n in range(settings.TABLES_MAX)))
    assert len(full.part("outputs", kind_of("outputs"))) == settings.TABLES_MAX


def test_all_that_is_wrong_is_named_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "eudaemon.toml"
    path.write_text(
        "[sensors]\n[sensor]\nlisten = ['tea tcp 70000']\n[sensor.limits]\nno_such = 1\n"
        "[general]\nlog_levle = 'x'\nsensor_uid = 0\nlog_format = 'text'\nlog_level = 'loud'\n"
    )
    with pytest.raises(SettingsError) as raised:
        settings.read(path)
    lines = [int(complaint.removeprefix(f"{path}:").partition(":")[0]) for complaint in raised.value.complaints]
    assert lines == [1, 3, 5, 7, 8, 10]
    assert str(raised.value).splitlines() == list(raised.value.complaints)


def test_as_many_tables_as_there_may_be() -> None:
    document = Document("[[watch.policies]]\nexe = 'a'\n" * 64)
    document.check()
    assert len(document.part("watch", kind_of("watch")).policies) == settings.TABLES_MAX


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read: No such file"):
        settings.read(tmp_path / "none.toml")
    (tmp_path / "big.toml").write_bytes(b"#" * (settings.FILE_BYTES_MAX + 1))
    with pytest.raises(SettingsError, match="over 1048576 bytes"):
        settings.read(tmp_path / "big.toml")
    (tmp_path / "latin.toml").write_bytes(b"[general]\n# \xe4\n")
    with pytest.raises(SettingsError, match=r"latin\.toml:2: no UTF-8"):
        settings.read(tmp_path / "latin.toml")


def test_every_part_can_be_left_at_its_defaults() -> None:
    document = settings.read(None)
    for name in settings.PARTS:
        assert is_installed(name)
        assert document.part(name, kind_of(name)) is not None


def test_the_example_is_the_defaults() -> None:
    """Uncommented, the example still reads, and says the same as no file at all."""
    lines = [
        line[1:] if line.startswith("#") and not line.startswith("# ") else line
        for line in settings.example().splitlines()
    ]
    document = Document("\n".join(lines))
    document.check()
    for name in settings.PARTS:
        assert document.part(name, kind_of(name)) == Document().part(name, kind_of(name))


def test_every_setting_is_documented() -> None:
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert page == settings.document(), "docs/settings.md is not up to date: make docs"
    for name in settings.PARTS:
        for key, field, _ in declared(kind_of(name), (name,)):
            known = field.metadata["option"]
            assert len(known.says) > 10, key
            assert known.says.endswith("."), f"{'.'.join(key)} is explained in no sentence"


def test_every_number_has_a_bound() -> None:
    for name in settings.PARTS:
        for key, field, hint in declared(kind_of(name), (name,)):
            known = field.metadata["option"]
            if hint in (int, float):  # also in the tables of a list
                assert known.low is not None, ".".join(key)
                assert known.low <= field.default, ".".join(key)
                assert known.high is None or field.default <= known.high, ".".join(key)
