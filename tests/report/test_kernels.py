"""The kernel section of the page, and what drg-inspect says of the same run."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from report.test_browser import BROWSER, PROBE, load
from report.test_page import check
from small_stores import write_store
from support import EXAMPLES

from drg_hpc.bodies import kernels_plan
from drg_hpc.cli.inspect import inspect_path
from drg_hpc.errors import CorruptError
from drg_hpc.models.base import HeadShape, ModelShape
from drg_hpc.models.config import DrgCnnConfig
from drg_hpc.models.io import save_model
from drg_hpc.models.registry import build
from drg_hpc.report import html
from drg_hpc.report.config import ReportOptions
from drg_hpc.report.heat import matrix
from drg_hpc.report.page import write_report
from drg_hpc.results import h5
from drg_hpc.results.h5 import open_file
from drg_hpc.results.kernels import KernelResult, consensus, read_kernels, write_kernels
from drg_hpc.store.reader import open_dataset
from tests.prediction.small_world import finish

ROWS, LENGTH, TRACKS = 130, 50, 4
CONFIG = DrgCnnConfig(kernels=6, kernel_size=9, pool_size=10, hidden=(6,))
HEADINGS = ("Clusters of kernels", "Clusters by similarity", "Kernels and tracks", "Kernels and classes of tracks",
            "Clusters and classes of regions")  # fmt: skip


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    import torch

    folder = tmp_path_factory.mktemp("kernels")
    rng = np.random.default_rng(0)
    codes, targets = rng.integers(0, 4, (ROWS, LENGTH)), rng.random((ROWS, TRACKS)).astype(np.float32)
    found = {"store": write_store(folder / "store.zarr", codes, targets, valid=40)}
    for seed in range(2):
        torch.manual_seed(seed)
        module = build(CONFIG, ModelShape({"seq": LENGTH}, (HeadShape("main", TRACKS),))).eval()
        save_model(module, folder / f"m{seed}", CONFIG, [f"t{i}" for i in range(TRACKS)])
    names = open_dataset(found["store"]).regions["name"]
    (folder / "regions.tsv").write_text(
        "".join(f"{name}\t{'near' if i % 3 else 'far'}\n" for i, name in enumerate(names))
    )
    found["kernels"] = folder / "run"
    options: dict[str, Any] = {
        "split": "all", "n_kmers": 3000, "region_classes": folder / "regions.tsv",
        "database": (EXAMPLES / "motifs/hocomoco_v12_core.meme",), "max_q": 0.5,
    }  # fmt: skip
    models = Path(f"{folder / 'm0'},{folder / 'm1'}")
    finish(kernels_plan.Options(model=models, input=found["store"], out=found["kernels"], **options), kernels_plan)
    return found


@pytest.fixture(scope="module")
def page(paths: dict[str, Path]) -> str:
    out = paths["kernels"].parent / "report.html"
    return write_report(ReportOptions(paths=tuple(paths.values()), out=out)).read_text()


def test_kernels_and_clusters_are_on_the_page(page: str, paths: dict[str, Path]) -> None:
    words, found = check(page), read_kernels(paths["kernels"])
    places = [words.index(text) for text in HEADINGS]
    assert places == sorted(places)
    assert f"The 12 kernels of 2 models make {len(found.clusters)} clusters" in words
    assert "mean of w.x + b over random k-mers and their reverse complements, at every position and on both" in words
    effect = found.effects["effect"]
    order = np.argsort(-np.abs(effect).mean(1))
    table = page[page.index("<h3>Kernels</h3>") : page.index("<h3>Kernels and tracks</h3>")]
    rows = [re.sub(r"<[^>]+>", " ", row) for row in table.split("<tr>")[2:]]
    for row, k in zip(rows, order, strict=True):
        kernel = found.kernels[int(k)]
        told = [kernel.name, consensus(kernel.pfm), html.number(kernel.kmers), html.number(kernel.constant),
                html.number(float(effect[k].mean())), html.number(float(found.effects["correlation"][k].mean())),
                html.number(float(found.effects["rmse"][k].mean())), kernel.match or "no match"]  # fmt: skip
        assert all(text in row for text in told), (told, row)
    tallest = [float((2 + (k.pfm * np.log2(k.pfm)).sum(0)).max()) for k in found.kernels]
    for k, bits in enumerate(tallest):
        (row,) = [row for row in table.split("<tr>")[2:] if f"<b>{found.kernels[k].name}</b>" in row]
        assert f"k-mers that activate it, tallest column {bits:.2g} bits" in row
        logo = row[
            : row.index("its weights")
        ]  # of the letters that stand on each other one stack is as high as the axis
        sizes: dict[str, float] = {}
        for x, size in re.findall(r'<use href="#base\w" x="([\d.]+)"[^>]* height="([\d.]+)"', logo):
            sizes[x] = sizes.get(x, 0.0) + float(size)
        assert max(sizes.values()) == pytest.approx(40, abs=1)
    loss = found.effects["class_correlation"]
    for k, kernel in enumerate(found.kernels):
        for t, track in enumerate(found.tracks):  # cells of the strip and of the figure of tracks
            assert words.count(f"{kernel.name}, {track}: {html.number(float(effect[k, t]))}") == 1
        assert f"{kernel.name}, all: {html.number(float(loss[k, 0]))}" in words
    means = found.cluster_effects()
    for c, cluster in enumerate(found.clusters):
        for t, track in enumerate(found.tracks):
            assert f"{cluster.name}, {track}: {html.number(float(means['effect'][c, t]))}" in words
        for r, name in enumerate(found.region_classes):
            value = float(means["region_effect"][c, r].mean() / found.region_rows[r])
            assert f"{cluster.name}, {name} ({int(found.region_rows[r])}): {html.number(value)}" in words


def test_a_run_is_read_once(paths: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Path] = []
    noted = {"open_file": lambda path: opened.append(path) or open_file(path)}
    monkeypatch.setattr("drg_hpc.results.kernels.h5", SimpleNamespace(**vars(h5) | noted))
    write_report(ReportOptions(paths=(paths["kernels"],), out=tmp_path / "r.html"))
    assert opened == [paths["kernels"] / "out.h5"]


def test_few_are_shown_where_that_is_asked(paths: dict[str, Path], tmp_path: Path) -> None:
    options = ReportOptions(paths=(paths["kernels"],), out=tmp_path / "r.html", max_motifs=2)
    words = check(write_report(options).read_text())
    assert "2 of 12 kernels shown; all are in kernels.tsv and kernels.meme" in words
    assert "Clusters by similarity" not in words  # two are no tree


def test_another_store_is_told(paths: dict[str, Path], tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    other = write_store(
        tmp_path / "other.zarr", rng.integers(0, 4, (9, LENGTH)), rng.random((9, TRACKS)), valid=3
    )  # fmt: skip
    text = write_report(ReportOptions(paths=(other, paths["kernels"]), out=tmp_path / "r.html")).read_text()
    assert "was made from another store than" in check(text)
    text = write_report(ReportOptions(paths=tuple(paths.values()), out=tmp_path / "s.html")).read_text()
    assert "another store" not in check(text)


def test_names_are_escaped_and_what_is_missing_is_left_out(paths: dict[str, Path], tmp_path: Path) -> None:
    found = read_kernels(paths["kernels"])
    effects = {name: found.effects[name][:, :1] for name in ("effect", "impact")}
    bare = KernelResult(
        [replace(kernel, match="<i>&", q=0.01) for kernel in found.kernels], found.clusters, effects, {},
        ['<b>"a"</b>'], [], [], np.zeros(0),
    )  # fmt: skip
    write_kernels(tmp_path / "k.h5", bare, {})
    text = write_report(ReportOptions(paths=(tmp_path / "k.h5",), out=tmp_path / "r.html")).read_text()
    words = check(text)
    assert "cells below a logo" not in words and "divided by their effects" not in words
    assert '<b>"a"</b>: ' in words and "<i>&" in words
    assert "R lost" not in words and not any(heading in words for heading in HEADINGS[3:])


def test_the_figure_of_cells() -> None:
    figure = matrix(
        np.array([[1.0, -2.0], [0.0, np.nan]]), rows=["r<", "s"], columns=["c", "d"], largest=2.0, words="w"
    )
    assert re.findall(r"<title>(r&lt;|s), ([cd]): (\S+?)</title>", figure) == [
        ("r&lt;", "c", "1"), ("r&lt;", "d", "-2"), ("s", "c", "0"), ("s", "d", "–"),
    ]  # fmt: skip
    assert '#2166ac" stroke="#d8dee4" stroke-width=".6"><title>r&lt;, d' in figure


def test_inspect(paths: dict[str, Path], tmp_path: Path) -> None:
    found = read_kernels(paths["kernels"])
    for path in (paths["kernels"], paths["kernels"] / "out.h5"):
        facts = inspect_path(path, verify=True)["kernel analysis"]
        assert (facts["kernels"], facts["models"], facts["clusters"]) == (12, 2, len(found.clusters))
        first = found.kernels[int(np.abs(found.effects["effect"]).mean(1).argmax())]
        assert facts["largest effects of kernels"][0].startswith(f"{first.name} {consensus(first.pfm)}")
        assert facts["correlation with all kernels"] == [
            pytest.approx(float(own.mean()), rel=1e-3) for own in found.base["correlation"]
        ]
    assert "kernel analysis" not in inspect_path(paths["store"], verify=False)
    broken = tmp_path / "run"
    broken.mkdir()
    (broken / "k.h5").write_bytes((paths["kernels"] / "out.h5").read_bytes()[:-100])
    with pytest.raises(CorruptError, match="cut off"):
        inspect_path(broken / "k.h5", verify=False)


@pytest.mark.browser
@pytest.mark.skipif(BROWSER is None, reason="no browser found")
@pytest.mark.parametrize("width", [500, 1280])
def test_nothing_is_wider_than_the_window(page: str, tmp_path: Path, width: int) -> None:
    probe = tmp_path / "probe.html"
    probe.write_text(page.replace("</body>", PROBE.replace("limit + 1", "Math.min(limit, 1157) + 1")))
    dom, log = load(probe, tmp_path / "profile", f"--window-size={width},900", "--hide-scrollbars")
    title = re.search(r"<title>(.*?)</title>", dom)
    assert title is not None and title[1] == f"width {width} wide []", (title and title[1], log)
