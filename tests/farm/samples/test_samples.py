"""Artefacts: once, byte-exact, never executable, in a directory and in an S3-compatible store."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from eudaemon.farm.samples import HashError, SampleStore
from eudaemon.farm.settings import SampleSettings
from eudaemon.farm.store import DiskFullError
from eudaemon.wire import conversation
from farm.farms import sha256
from farm.s3 import s3_server

DATA = bytes(range(256)) * 1000
NAME = sha256(DATA)


async def chunks(data: bytes, size: int = 10_000) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


@pytest.fixture(scope="module")
def s3() -> Iterator[SampleSettings]:
    with s3_server("samples") as endpoint:
        yield SampleSettings(url="s3://samples/farm", endpoint=endpoint, access_key_id="test", secret_access_key="test")


@pytest.fixture(params=["directory", "s3"])
def samples(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SampleStore]:
    settings = SampleSettings() if request.param == "directory" else request.getfixturevalue("s3")
    store = SampleStore(tmp_path, settings)
    store.open()
    yield store
    store.close()


async def test_what_is_kept_reads_back(samples: SampleStore) -> None:
    assert await samples.size(NAME) is None
    assert await samples.keep(NAME, chunks(DATA))
    assert not await samples.keep(NAME, chunks(DATA))
    assert await samples.size(NAME) == len(DATA)
    assert await samples.read(NAME, 0, 2**40) == DATA
    assert await samples.read(NAME, 1_000, 10) == DATA[1_000:1_010]
    assert await samples.read(NAME, len(DATA) - 5, 100) == DATA[-5:]
    assert await samples.read(NAME, len(DATA) + 5, 100) == b""


async def test_the_empty_artefact_is_one(samples: SampleStore) -> None:
    assert await samples.keep(sha256(b""), chunks(b""))
    assert await samples.read(sha256(b""), 0, 100) == b""


async def test_many_at_once_are_one(samples: SampleStore) -> None:
    data = DATA + b"x"
    kept = await asyncio.gather(*(samples.keep(sha256(data), chunks(data)) for _ in range(8)))
    assert any(kept)
    assert await samples.read(sha256(data), 0, 2**40) == data


async def test_other_bytes_are_not_kept(samples: SampleStore) -> None:
    with pytest.raises(HashError, match=sha256(b"other")):
        await samples.keep(sha256(b"expected"), chunks(b"other"))
    assert await samples.size(sha256(b"expected")) is None
    with pytest.raises(KeyError):
        await samples.read(sha256(b"expected"), 0, 1)


@pytest.mark.parametrize("name", ["", "x", "../../etc/passwd", NAME.upper(), NAME + "0", "a/" + NAME])
async def test_what_is_no_hash_names_nothing(samples: SampleStore, name: str) -> None:
    assert await samples.size(name) is None
    with pytest.raises(HashError, match="no SHA-256"):
        await samples.keep(name, chunks(b""))


async def test_files_cannot_be_executed_or_changed_and_nothing_else_is_left(tmp_path: Path) -> None:
    store = SampleStore(tmp_path)
    store.open()
    await store.keep(NAME, chunks(DATA))
    path = tmp_path / NAME[:2] / NAME
    assert path.stat().st_mode & 0o777 == 0o400
    assert list(tmp_path.glob("*/*")) == [path]


async def test_an_upload_that_a_crash_cut_off_is_gone_at_the_next_start(tmp_path: Path) -> None:
    (tmp_path / NAME[:2]).mkdir()
    (tmp_path / NAME[:2] / ".new-half").write_bytes(b"half")
    # A crash after the rename and before the catalogue: the bytes are there, uncatalogued.
    (tmp_path / NAME[:2] / NAME).write_bytes(DATA)
    store = SampleStore(tmp_path)
    store.open()
    assert [path.name for path in tmp_path.glob("*/*")] == [NAME]
    assert await store.size(NAME) is None
    assert await store.keep(NAME, chunks(DATA))
    assert await store.read(NAME, 0, 2**40) == DATA


async def test_a_full_disk_keeps_nothing_and_harms_nothing(small_disk: Path) -> None:
    """On a real file system of one megabyte."""
    store = SampleStore(small_disk)
    store.open()
    await store.keep(NAME, chunks(DATA))
    large = os.urandom(2 * 1024 * 1024)
    for _ in range(2):
        with pytest.raises(DiskFullError):
            await store.keep(sha256(large), chunks(large))
        assert await store.size(sha256(large)) is None
        assert await store.read(NAME, 0, 2**40) == DATA
        assert [path.name for path in small_disk.glob("*/*")] == [NAME]
    small = b"still fits"
    assert await store.keep(sha256(small), chunks(small))
    store.close()


async def test_old_conversations_go_and_samples_stay(samples: SampleStore) -> None:
    talk = conversation.MAGIC + conversation.encode(0, 0, b"root\r\n")
    fake = conversation.MAGIC + b"a sample that begins like a conversation"
    for data in (talk, fake, DATA):
        await samples.keep(sha256(data), chunks(data))
    samples.catalogue.named([sha256(fake), NAME], [sha256(talk)])
    entry = samples.catalogue.get(sha256(talk))
    assert entry is not None
    day_s = 86_400.0
    assert await samples.forget_conversations(entry.last_seen_s + 90 * day_s - 1) == 0
    assert await samples.forget_conversations(entry.last_seen_s + 90 * day_s + 1) == 1
    assert [await samples.size(sha256(data)) for data in (talk, fake, DATA)] == [None, len(fake), len(DATA)]


async def test_a_conversation_that_is_about_to_be_named_again_stays(samples: SampleStore) -> None:
    for data in (b"one", b"two"):
        await samples.keep(sha256(data), chunks(data))
    entry = samples.catalogue.get(sha256(b"one"))
    assert entry is not None
    long_ago_s = entry.last_seen_s - 100 * 86_400
    samples.catalogue._db.execute("UPDATE artefacts SET last_seen_s = ?", (long_ago_s,))
    assert await samples.is_here(sha256(b"one"))
    assert not await samples.is_here(sha256(b"three"))
    assert await samples.forget_conversations(entry.last_seen_s) == 1
    assert await samples.read(sha256(b"one"), 0, 10) == b"one"
    assert await samples.keep(sha256(b"two"), chunks(b"two"))
    assert await samples.read(sha256(b"two"), 0, 10) == b"two"


async def test_the_catalogue_knows_what_each_is(samples: SampleStore) -> None:
    await samples.keep(NAME, chunks(DATA))
    assert samples.catalogue.unidentified(10) == []
    assert samples.catalogue.named([NAME], [])
    assert samples.catalogue.unidentified(10) == [NAME]
    samples.catalogue.identified(NAME, "elf", "ELF 32-bit", ("one", "two"), "3:abc:d")
    assert samples.catalogue.unidentified(10) == []
    entry = samples.catalogue.get(NAME)
    assert entry is not None
    assert (entry.format, entry.rules, entry.fuzzy, entry.sample) == ("elf", ("one", "two"), "3:abc:d", True)
    assert samples.catalogue.totals() == (1, len(DATA), 1)
    assert samples.catalogue.get("0" * 64) is None
