"""gzip and bgzip: any cut or flipped byte is refused, or changes nothing; text is read from any offset."""

from __future__ import annotations

import gzip
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sequence_files import BGZIP_END, bgzip

from drg_hpc.errors import InputError
from drg_hpc.genome import compressed
from drg_hpc.genome.bgzip import is_bgzip
from drg_hpc.genome.compressed import open_text, text_blocks, text_kind

TEXT = random.Random(0).randbytes(5000) + bytes(3000)
WRITERS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": gzip.compress,
    "bgzip": lambda data: bgzip(data, block=700),
}


def whole(path: Path) -> bytes:
    return b"".join(block for _, block in text_blocks(path, text_kind(path)))


@pytest.mark.parametrize("kind", WRITERS)
def test_kinds_and_whole_files(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x"
    path.write_bytes(WRITERS[kind](TEXT))
    assert text_kind(path) == kind and is_bgzip(path) == (kind == "bgzip")
    assert whole(path) == TEXT
    seen: list[bytes] = []
    list(text_blocks(path, text_kind(path), seen=seen.append))
    assert b"".join(seen) == path.read_bytes()


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from([*WRITERS]),
    places=st.lists(st.tuples(st.integers(0, 8100), st.integers(0, 3000)), max_size=6),
    step=st.integers(1, 4000),
)
def test_text_from_any_offset(
    tmp_path_factory: pytest.TempPathFactory, kind: str, places: list[tuple[int, int]], step: int
) -> None:
    path = tmp_path_factory.mktemp("text") / "x"
    path.write_bytes(WRITERS[kind](TEXT))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compressed, "BLOCK", 100)
        patch.setattr("drg_hpc.genome.bgzip._BATCH", step)
        index, offset = [], 0
        for file_offset, block in text_blocks(path, text_kind(path)):
            index.append((offset, file_offset))
            offset += len(block)
        file = open_text(path, text_kind(path), index)
        for start, size in places:
            assert file.read(start, size) == TEXT[start : start + size]
        file.close()


def test_members_and_padding(tmp_path: Path) -> None:
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(b"one\n") + gzip.compress(b"") + gzip.compress(b"two\n") + bytes(512))
    assert whole(path) == b"one\ntwo\n"
    path.write_bytes(bgzip(b"one\n") + bgzip(b"two\n"))
    assert whole(path) == b"one\ntwo\n"
    path.write_bytes(gzip.compress(b"one\n") + b"more")
    with pytest.raises(InputError, match="damaged gzip file"):
        whole(path)
    path.write_bytes(bgzip(b"one\n") + gzip.compress(b"two\n"))
    with pytest.raises(InputError, match=r"damaged bgzip file: .*, no block at byte 60"):
        whole(path)


@pytest.mark.parametrize("kind", ["gzip", "bgzip"])
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_cut_or_flipped_files_are_refused_or_the_same(
    tmp_path_factory: pytest.TempPathFactory, kind: str, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("text") / "x"
    raw = WRITERS[kind](TEXT)
    cut = data.draw(st.integers(18, len(raw) - 1))
    path.write_bytes(raw[:cut])
    with pytest.raises(InputError, match="truncated") as error:
        whole(path)
    assert "\n" not in str(error.value)
    flipped = bytearray(raw)
    flipped[data.draw(st.integers(2, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(flipped)
    try:
        found = whole(path)
    except InputError:
        return
    assert found == TEXT


def test_bgzip_cut_between_blocks(tmp_path: Path) -> None:
    """Such a file is whole gzip members: only the missing end marker tells."""
    path = tmp_path / "x.gz"
    path.write_bytes(bgzip(TEXT, block=700).removesuffix(BGZIP_END))
    with pytest.raises(InputError, match="truncated bgzip file"):
        whole(path)


def test_a_bomb_is_inflated_in_small_blocks(tmp_path: Path) -> None:
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(b"N" * 20_000_000))
    sizes = [len(block) for _, block in text_blocks(path, "gzip")]
    assert sum(sizes) == 20_000_000 and max(sizes) <= compressed.BLOCK
