"""The motif section with effects: the tree, the heat of tracks, positions, pairs, spacing, and seqlets in context."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from report.motif_pages import write_grammar
from report.test_browser import BROWSER, PROBE, load
from report.test_page import check
from scipy.cluster.hierarchy import cophenet
from scipy.spatial.distance import squareform

from drg_hpc.errors import CorruptError
from drg_hpc.report.config import ReportOptions
from drg_hpc.report.heat import shade, strip
from drg_hpc.report.motif_tree import core_heights, similarity, tree_figure, tree_of
from drg_hpc.report.page import write_report
from drg_hpc.results.effects import EffectsFile, read_effects
from drg_hpc.results.motifs import read_motifs

HEADINGS = ("Motifs by similarity", "Positions of motifs", "Motifs in one region", "Order and spacing of motifs")


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_grammar(tmp_path_factory.mktemp("grammar"))


@pytest.fixture(scope="module")
def effects(paths: dict[str, Path]) -> EffectsFile:
    return read_effects(paths["motifs"] / "effects.h5")


@pytest.fixture(scope="module")
def page(paths: dict[str, Path]) -> str:
    out = paths["motifs"].parent / "report.html"
    return write_report(ReportOptions(paths=tuple(paths.values()), out=out, examples=0)).read_text()


def by_target(paths: dict[str, Path]) -> dict[str, str]:
    return {str(r.facts["target"]).split(".")[0]: r.name for r in read_motifs(paths["motifs"])}


def test_the_grammar_is_on_the_page(page: str, paths: dict[str, Path], effects: EffectsFile) -> None:
    words = check(page)
    places = [words.index(text) for text in (*HEADINGS, "Seqlets in context")]
    assert all(a < b for a, b in pairwise(places))
    names = by_target(paths)
    first, second = sorted((names["CTCF"], names["GATA1"]), key=effects.motifs.index)
    pairs = effects.groups["pairs"]
    at = [
        effects.motifs[i] == first and effects.motifs[j] == second
        for i, j in zip(pairs["first"], pairs["second"], strict=True)
    ]
    both, expected = pairs["both"][at].item(), pairs["expected"][at].item()
    assert both > 150 and expected < 70
    assert f"{first} and {second}: {both} regions" in words
    where = effects.groups["spacing"]
    i = next(
        i
        for i, (a, b) in enumerate(zip(where["first"], where["second"], strict=True))
        if {effects.motifs[a], effects.motifs[b]} == {first, second}
    )
    side = "downstream" if where["peak_side"][i] > 0 else "upstream"
    assert where["measure"][i, 0] > 0.9 and f"{where['peak_gap'][i]} bp {side}, same strand" in words


def test_effects_of_tracks_are_told(page: str, effects: EffectsFile) -> None:
    means = effects.groups["by_track"]["mean"]
    # the second track's attributions are twice those of the first
    np.testing.assert_allclose(means[:, 1], 2 * means[:, 0], rtol=0.02)
    assert (means[[name.startswith("neg") for name in effects.motifs]] < 0).all()
    for track, name in enumerate(effects.tracks):
        assert f"{effects.motifs[0]}, {name}: {means[0, track]:.3g}" in check(page)
    assert page.count("effects of pos_0 on tracks") == 1 and "Cells below the logos" in page


def test_context_shows_the_strongest_seqlets(page: str, paths: dict[str, Path]) -> None:
    for record in read_motifs(paths["motifs"]):
        found = re.search(rf"<summary>Seqlets of {record.name} in context</summary>(.*?)</details>", page)
        assert found is not None and found[1].count('class="example context"') == 3
        assert found[1].count(f">{record.name}</text>") == 3 and "track 1" in found[1]


def test_only_what_is_there_is_shown(paths: dict[str, Path], tmp_path: Path) -> None:
    text = write_report(ReportOptions(paths=(paths["motifs"],), out=tmp_path / "r.html")).read_text()
    assert "Order and spacing" in check(text) and "in context" not in text
    (tmp_path / "plain").mkdir()
    plain = write_grammar(tmp_path / "plain", effects=False, tracks=1)
    text = write_report(ReportOptions(paths=(plain["motifs"],), out=tmp_path / "plain.html")).read_text()
    words = check(text)
    assert "Motifs by similarity" in words and not any(heading in words for heading in HEADINGS[1:])
    (plain["motifs"] / "effects.h5").write_bytes(b"no")
    with pytest.raises(CorruptError, match="not an HDF5 file"):
        write_report(ReportOptions(paths=(plain["motifs"],), out=tmp_path / "bad.html"))


@pytest.mark.browser
@pytest.mark.skipif(BROWSER is None, reason="no browser found")
@pytest.mark.parametrize("width", [500, 1280])
def test_nothing_is_wider_than_the_window(page: str, tmp_path: Path, width: int) -> None:
    probe = tmp_path / "probe.html"
    probe.write_text(page.replace("<details>", "<details open>").replace("</body>", PROBE))
    dom, log = load(probe, tmp_path / "profile", f"--window-size={width},900", "--hide-scrollbars")
    title = re.search(r"<title>(.*?)</title>", dom)
    assert title is not None and title[1] == f"width {width} wide []", (title and title[1], log)


def slow_similarity(left: np.ndarray, right: np.ndarray) -> float:
    """Cosine over the union at every offset with four shared positions, by laying both into one frame."""
    best = 0.0
    n, m = left.shape[1], right.shape[1]
    for turned in (left, left[::-1, ::-1]):
        for start in range(-n, m + 1):
            if min(start + n, m) - max(start, 0) < 4:
                continue
            frames = np.zeros((2, 4, n + 2 * m + n))
            frames[0, :, n + start : n + start + n] = turned
            frames[1, :, n : n + m] = right
            a, b = frames.reshape(2, -1)
            best = max(best, float(a @ b / np.linalg.norm(a) / np.linalg.norm(b)))
    return best


def test_similarity_is_the_best_cosine_over_the_union() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        left, right = (rng.random((4, int(rng.integers(4, 12)))) ** 3 for _ in range(2))
        assert similarity(left, right) == pytest.approx(slow_similarity(left, right))
        assert similarity(left, left[::-1, ::-1]) == pytest.approx(1)
    assert similarity(np.zeros((4, 6)), np.ones((4, 6))) == 0


def test_the_tree_is_average_linkage(paths: dict[str, Path], effects: EffectsFile) -> None:
    records = read_motifs(paths["motifs"])
    heights = [core_heights(record) for record in records]
    distance = np.array([[1 - slow_similarity(a, b) for b in heights] for a in heights])
    tree = tree_of(records)
    first = np.unravel_index(np.where(np.eye(len(records)) > 0, 9, distance).argmin(), distance.shape)
    assert sorted(tree[0, :2].astype(int).tolist()) == sorted(int(i) for i in first)
    assert tree[0, 2] == pytest.approx(distance[first])
    last = squareform(cophenet(tree)).max()
    assert tree[-1, 2] == pytest.approx(last) and last <= distance.max()
    assert tree_figure(records[:2], effects, 0.05) == ""
    text = tree_figure(records, effects, 0.05)
    order = [text.index(f">{record.name} ") for record in records]
    assert len(set(order)) == len(records) and text.count("<rect") >= len(records) * 2


def test_shades_are_white_at_zero_and_differ_by_sign() -> None:
    assert shade(0, 2) == "#ffffff" and shade(2, 2) == shade(9, 2) == "#b2182b" and shade(-2, 2) == "#2166ac"
    assert shade(float("nan"), 1) == "#d8dee4" and shade(0, 0) == "#ffffff"
    text = strip(np.array([1.0, -1]), ["<a>", "b"], 1.0, label="x & y")
    assert "&lt;a&gt;: 1" in text and 'aria-label="x &amp; y"' in text and "#b2182b" in text
