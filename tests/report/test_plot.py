"""drg-plot and plot_attribution: what is drawn is what the file holds, where it lies; equal inputs give equal bytes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import h5py
import matplotlib.image
import numpy as np
import pytest
import torch
from matplotlib import pyplot
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from report.attribution_files import CHROM, START, Made, make, peak_of, regions_of
from support import drg, drg_json, error_line, here

from drg_hpc import plot_attribution
from drg_hpc.digests import describe_input
from drg_hpc.errors import CorruptError, InputError, UsageError
from drg_hpc.report.figure_style import style
from drg_hpc.report.logos import BASE_COLOURS
from drg_hpc.report.plot import draw_attributions
from drg_hpc.report.plot_config import PlotOptions
from drg_hpc.report.plot_figure import Drawing
from drg_hpc.report.plot_source import read_sheet


def options(made: Made | Path, *regions: str, **others: Any) -> PlotOptions:
    path = made if isinstance(made, Path) else made.path
    return PlotOptions(attributions=path, regions=regions, **{"out": path.parent / "x.svg", **others})


def drawn(*args: Any, **others: Any) -> Figure:
    with style():
        return Drawing(read_sheet(options(*args, **others))).draw()


def letters(axes: Axes) -> dict[tuple[int, str], tuple[float, float]]:
    """(column, base) -> lowest and highest point of every letter, from the paths as they are drawn."""
    found: dict[tuple[int, str], tuple[float, float]] = {}
    bases = {matplotlib.colors.to_rgba(colour): base for base, colour in BASE_COLOURS.items()}
    for patch in axes.patches:
        assert isinstance(patch, PathPatch)
        points = patch.get_path().vertices[patch.get_path().codes != 79]
        base = bases[patch.get_facecolor()]
        columns = np.rint(points[:, 0]).astype(int)
        for column in np.unique(columns):
            y = points[columns == column, 1]
            found[int(column), base] = (float(y.min()), float(y.max()))
    return found


def logos(figure: Figure) -> list[Axes]:
    return [axes for axes in figure.axes if any(isinstance(patch, PathPatch) for patch in axes.patches)]


def heat_maps(figure: Figure) -> list[Axes]:
    return [axes for axes in figure.axes if axes.images]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make(tmp_path_factory.mktemp("made") / "out.h5", delta=True, deviations=True)


def test_letters_are_the_contributions(made: Made) -> None:
    figure = drawn(made, "peak_1", window="40-70", tracks="T cells,B cells")
    names = [axes.texts[0].get_text() for axes in logos(figure)]
    assert names == ["T cells", "B cells"]
    for axes, track in zip(logos(figure), (1, 0), strict=True):
        values, found = made.projected[track][0][1, 40:70], letters(axes)
        bases = made.onehot[0][1, :, 40:70].argmax(axis=0)
        assert set(found) == {(i, "ACGT"[base]) for i, base in enumerate(bases)}
        for column, (base, value) in enumerate(zip(bases, values, strict=True)):
            reach = found[column, "ACGT"[base]]
            assert reach == pytest.approx((min(value, 0), max(value, 0)), abs=1e-6)  # one upwards, or one downwards
    shared = {axes.get_ylim() for axes in logos(figure)}
    assert len(shared) == 1
    low, high = shared.pop()
    assert high > max(made.projected[t][0][1, 40:70].max() for t in (0, 1)) and low <= 0
    each = drawn(made, "peak_1", window="40-70", scale_each=True)
    assert len({axes.get_ylim() for axes in logos(each)}) == 2


@pytest.mark.parametrize("row", [0, 1])
def test_the_axis_has_genome_coordinates(made: Made, row: int) -> None:
    axes = logos(drawn(made, str(row), window="37-61", tracks="B cells"))[0]
    ticks = dict(zip(axes.get_xticks().tolist(), [t.get_text() for t in axes.get_xticklabels()], strict=True))
    assert len(ticks) >= 2
    genome = np.arange(START + 10_000 * row, START + 10_000 * row + 160)
    shown = (genome[::-1] if row % 2 else genome)[37:61]  # row 1 is of the reverse strand
    assert {f"{shown[int(at)]:,}" for at in ticks} == set(ticks.values())
    assert axes.get_xlabel() == f"{CHROM}{', reverse strand' if row % 2 else ''}"


def test_a_part_of_a_region_and_its_title(made: Made) -> None:
    start = START + 10_000
    figure = drawn(made, f"{CHROM}:{start + 20}-{start + 30}", tracks="B cells")
    axes = logos(figure)[0]
    assert figure.texts[0].get_text() == f"peak_1  {CHROM}:{start + 20:,}–{start + 30:,} (reverse strand)"
    bases = made.onehot[0][1].argmax(axis=0)[130:140]
    assert dict(letters(axes).keys()) == {i: "ACGT"[base] for i, base in enumerate(bases)}


def test_rows_that_are_not_stranded_run_forward(tmp_path: Path) -> None:
    regions = regions_of(2, 160, gene_name=["UP", ""], choice=["exon 3", ""])
    attributes = {"stranded": False}
    made = make(
        tmp_path / "g.h5", rows=2, regions=regions, columns=("gene_name", "choice"), attributes=attributes,
        params={"genes": {"statistic": "splice"}},
    )  # fmt: skip
    figure = drawn(made, "0,1", window="0-20", tracks="B cells", predicted=True)
    assert [axes.get_xlabel() for axes in logos(figure)] == [CHROM, CHROM]
    texts = [text.get_text() for text in figure.texts]
    assert texts[0] == f"UP (exon 3)  {CHROM}:{START:,}–{START + 20:,}"
    assert "predicted statistic" in texts and "log ratio of the coverage of an exon" in " ".join(texts)


def test_heat_map_and_its_dots(made: Made) -> None:
    figure = drawn(made, "0", window="35-60", heatmap=True)
    maps = heat_maps(figure)
    assert len(maps) == 2
    for axes, track in zip(maps, (0, 1), strict=True):
        values = made.form[track][0][0, :, 35:60]
        np.testing.assert_allclose(np.asarray(axes.images[0].get_array()), values, atol=1e-6)
        columns, rows = axes.lines[0].get_data()
        assert rows[np.argsort(columns)].tolist() == made.onehot[0][0, :, 35:60].argmax(axis=0).tolist()
        largest = max(np.abs(made.form[t][0][0, :, 35:60]).max() for t in (0, 1))
        assert axes.images[0].get_clim() == pytest.approx((-largest, largest), rel=1e-6)
    each = heat_maps(drawn(made, "0", window="35-60", heatmap=True, scale_each=True))
    assert len({axes.images[0].get_clim() for axes in each}) == 2


def test_other_forms_show_what_is_stored(tmp_path: Path) -> None:
    both = make(tmp_path / "global.h5", form="global")
    axes = heat_maps(drawn(both, "0", window="40-52", heatmap=True))[1]
    np.testing.assert_allclose(np.asarray(axes.images[0].get_array()), both.form[1][0][0, :, 40:52], atol=1e-6)
    one = make(tmp_path / "one.h5", tracks=("x",), keep=False)  # shap/seq is there all the same
    axes = heat_maps(drawn(one, "0", window="40-52", heatmap=True))[0]
    np.testing.assert_allclose(np.asarray(axes.images[0].get_array()), one.form[0][0][0, :, 40:52], atol=1e-6)
    none = make(tmp_path / "none.h5", keep=False)
    with pytest.raises(UsageError, match="--keep hypothetical"):
        drawn(none, "0", heatmap=True)


def test_a_sparse_file_shows_the_positions_it_has(tmp_path: Path) -> None:
    made = make(tmp_path / "top.h5", top=15)
    figure = drawn(made, "2", window="all", tracks="B cells", heatmap=True)
    with h5py.File(made.path) as handle:
        kept = set(handle["tracks/00000/top/positions"][2].tolist())
    assert {column for column, _ in letters(logos(figure)[0])} == kept and len(kept) == 15
    shown = np.asarray(heat_maps(figure)[0].images[0].get_array())
    assert set(np.flatnonzero(np.abs(shown).sum(axis=0)).tolist()) == kept
    assert "15 strongest positions" in " ".join(text.get_text() for text in figure.texts)


def test_several_inputs(tmp_path: Path) -> None:
    made = make(tmp_path / "two.h5", inputs=(("dna", 160), ("utr", 90)))
    figure = drawn(made, "1", window="40-60", tracks="T cells")
    titles = [text.get_text() for text in figure.texts[:2]]
    assert [title.rsplit(", ", 1)[1] for title in titles] == ["input dna", "input utr"]
    for number, axes in enumerate(logos(figure)):
        found = {column: reach for (column, _), reach in letters(axes).items()}
        for column, value in enumerate(made.projected[1][number][1, 40:60]):
            assert sum(found[column]) == pytest.approx(value, abs=1e-6)
    assert len(logos(drawn(made, "1", input="utr", tracks="T cells"))) == 1
    with pytest.raises(UsageError, match="input 'utr' of region 'peak_1' has 90 bases"):
        drawn(made, "1", window="80-120")
    with pytest.raises(UsageError, match="no input 'rna'"):
        drawn(made, "1", input="rna")
    part = f"{CHROM}:{START + 10_020}-{START + 10_030}"
    assert len(logos(drawn(made, part, tracks="T cells"))) == 1  # an interval is one of the first input
    with pytest.raises(InputError, match="no region of the file holds it"):
        drawn(made, f"{CHROM}:{START + 10_120}-{START + 10_130}", input="utr")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The regions of the files here, with targets row + track / 10, and one missing."""
    folder = tmp_path_factory.mktemp("store")
    rng = np.random.default_rng(0)
    names = [f"{CHROM}:{START + 10_000 * i}-{START + 10_000 * i + 160}" for i in range(6)]
    (folder / "in.fa").write_text("".join(f">{name}\n{''.join(rng.choice(list('ACGT'), 160))}\n" for name in names))
    lines = [f"{name}\t{i}\t{'' if i == 2 else i + 0.1}\n" for i, name in enumerate(names)]
    (folder / "counts.tsv").write_text("name\tB cells\tother\n" + "".join(lines))
    drg("drg-shard", "sequences", folder / "in.fa", "--counts", folder / "counts.tsv", "--missing", "mask",
        "-o", folder / "store")  # fmt: skip
    return folder / "store"


def bars(figure: Figure) -> list[tuple[float, str]]:
    """(width, words beside it) of every bar, top to bottom."""
    boxes = [axes for axes in figure.axes if axes.get_ylim() == (-1.0, 1.0)]
    return [
        (axes.containers[0].patches[0].get_width() if axes.containers else np.nan, axes.texts[0].get_text())
        for axes in boxes
    ]  # fmt: skip


def test_bars(made: Made, store: Path, caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    found = bars(drawn(made, "4", predicted=True))
    assert [width for width, _ in found] == pytest.approx([made.prediction[t][4] for t in (0, 1)], rel=1e-6)
    digest = describe_input(store / "out.zarr", ("manifest.json",))["sha256"]
    turned = regions_of(6, 160, row=np.arange(6)[::-1], strand="+")
    same = make(tmp_path / "same.h5", regions=turned, attributes={"inputs": {"sequences": {"sha256": digest}}})
    figure = drawn(same, "1", measured=store)
    assert bars(figure)[0] == (4.0, "4")  # row 1 of the file is row 4 of the store
    assert np.isnan(bars(figure)[1][0]) and bars(figure)[1][1] == "–" and "no track 'T cells'" in caplog.text
    apart = make(tmp_path / "apart.h5", regions=regions_of(6, 160, strand="."), tracks=("other",))
    assert bars(drawn(apart, "3", measured=store)) == [(pytest.approx(3.1), "3.1")]
    assert bars(drawn(apart, "2", measured=store))[0][1] == "–"  # masked
    with pytest.raises(InputError, match="no track of that name: 'T cells'"):
        drawn(made, "3", measured=store, tracks="T cells")
    with pytest.raises(InputError, match="has no region like 'peak_3'"):
        drawn(made, "3", measured=store)  # a reverse strand that the store has not


@pytest.mark.parametrize("ending", ["pdf", "svg", "png"])
def test_equal_inputs_equal_bytes(made: Made, tmp_path: Path, ending: str) -> None:
    found = []
    for number in range(2):
        out = tmp_path / f"{number}.{ending}"
        record = draw_attributions(options(made, "1,2", out=out, heatmap=True, predicted=True))
        found.append(out.read_bytes())
    assert found[0] == found[1]
    assert record["tracks"] == ["B cells", "T cells"] and len(record["sections"]) == 2
    first, last = (record["sections"][0][name] for name in ("first", "last"))
    assert last - first == 100 and first <= peak_of(1) <= last
    assert not re.search(rb"20\d\d-\d\d-\d\d|CreationDate", found[0])
    if ending == "png":
        image = matplotlib.image.imread(out)
        assert image.shape[0] > 400 and image[..., :3].std() > 0.05
    elif ending == "svg":
        text = found[0].decode()
        assert ">B cells</text>" in text and f">{CHROM}, reverse strand</text>" in text
        assert text.count("<image") == 5  # heat maps and the colour bar
    else:
        assert b"/FontFile2" in found[0]  # text is text


def test_nothing_is_cut_off(made: Made, store: Path) -> None:
    for others in ({}, {"window": "3-9", "heatmap": True, "predicted": True}, {"window": "all", "predicted": True}):
        figure = drawn(made, "1,2", **others)
        box, (wide, high) = figure.get_tightbbox(), figure.get_size_inches()
        assert max(-box.x0, -box.y0, box.x1 - wide, box.y1 - high) < 0.01, others


def test_many_tracks_are_one_figure(tmp_path: Path) -> None:
    made = make(tmp_path / "many.h5", tracks=tuple(f"cell type {i}" for i in range(45)), keep=False)
    figure = drawn(made, "3", window="strongest:60")
    assert len(logos(figure)) == 45 and figure.get_size_inches()[1] < 24
    tops = [axes.get_position().y0 for axes in logos(figure)]
    assert tops == sorted(tops, reverse=True)
    assert sum(len(axes.patches) for axes in logos(figure)) <= 45 * 4  # a path a base, not one a letter
    with pytest.raises(UsageError, match=r"the figure would be .* inches at 1200 dpi"):
        draw_attributions(options(made, "0,1,2,3,4,5", out=tmp_path / "x.png", dpi=1200))
    assert not (tmp_path / "x.png").exists()


def test_the_command(made: Made, tmp_path: Path) -> None:
    out = tmp_path / "fig.svg"
    done = drg_json("drg-plot", made.path, "--regions", "peak_0", "--tracks", "B cells", "--window", "30-60", "-o", out)
    assert done["sections"] == [{"title": f"peak_0  {CHROM}:{START + 30:,}–{START + 60:,}", "first": 30, "last": 60}]
    before = out.read_bytes()
    failed = here("drg-plot", made.path, "--regions", "peak_0", "-o", out, exit_code=2)
    assert error_line(failed).endswith("exists; choose another -o, or remove it first") and out.read_bytes() == before
    failed = here("drg-plot", made.path, "--regions", "0", "-o", tmp_path / "x.jpg", exit_code=2)
    assert "the ending must be .pdf, .svg or .png" in error_line(failed)
    failed = here("drg-plot", made.path, "--regions", "0", "--window", "9-3", "-o", tmp_path / "x.png", exit_code=2)
    assert "positions from 0, a below b" in error_line(failed)
    assert [path.name for path in tmp_path.iterdir()] == ["fig.svg"]


def test_a_damaged_file_is_named(made: Made, tmp_path: Path) -> None:
    raw = bytearray(made.path.read_bytes())
    with h5py.File(made.path) as handle:
        chunk = handle["tracks/00001/projected"].id.get_chunk_info(0)
    raw[chunk.byte_offset : chunk.byte_offset + chunk.size] = bytes(chunk.size)
    (tmp_path / "bad.h5").write_bytes(raw)
    assert draw_attributions(options(tmp_path / "bad.h5", "0", tracks="B cells"))
    with pytest.raises(CorruptError, match=r"bad\.h5 cannot be read"):
        draw_attributions(options(tmp_path / "bad.h5", "0", out=tmp_path / "y.svg"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.h5", "x.svg"]


def test_rows_without_attributions_are_refused(tmp_path: Path) -> None:
    regions = regions_of(3, 160, kept=[True, False, True], reason=["", "gene outside the window", ""])
    made = make(tmp_path / "u.h5", rows=3, regions=regions, unkept=True)
    with pytest.raises(InputError, match=r"'peak_1' \(row 1\) was not attributed: gene outside the window"):
        drawn(made, "0,peak_1")
    assert len(logos(drawn(made, "0,2", tracks="B cells"))) == 2


def test_plot_attribution() -> None:
    rng = np.random.default_rng(2)
    values = rng.normal(size=(4, 20))
    axes = plot_attribution(values)
    found = letters(axes)
    for column in range(20):
        for sign in (1, -1):
            stack = sorted(
                (abs(values[b, column]), found[column, "ACGT"[b]]) for b in range(4) if values[b, column] * sign > 0
            )
            bottom = 0.0  # smallest next to the line, each on top of the last
            for size, (low, high) in stack:
                near, far = (low, high) if sign > 0 else (-high, -low)
                assert (near, far) == pytest.approx((bottom, bottom + size), abs=1e-9)
                bottom = far
    pyplot.close(axes.figure)


def test_plot_attribution_with_a_heat_map_on_axes_of_ones_own() -> None:
    figure, own = pyplot.subplots()
    onehot = np.eye(4)[[0, 2, 3, 1]].T
    values = np.arange(16.0).reshape(4, 4) - 8
    assert plot_attribution(torch.tensor(values * onehot, requires_grad=True), torch.tensor(values), ax=own) is own
    below = own.child_axes[0]
    np.testing.assert_array_equal(np.asarray(below.images[0].get_array()), values)
    assert below.lines[0].get_ydata().tolist() == [0, 1, 2, 3]
    assert sorted(zip(*below.lines[0].get_data(), strict=True)) == [(0, 0), (1, 2), (2, 3), (3, 1)]
    low, high = own.get_ylim()
    lowest = (values * onehot).min()
    assert low + 0.32 * (high - low) < lowest  # the logo stands above the heat map
    figure.canvas.draw()
    pyplot.close(figure)
    for bad, words in ((np.zeros((3, 5)), r"shape \(3, 5\)"), (np.full((4, 2), np.nan), "not finite")):
        with pytest.raises(UsageError, match=words):
            plot_attribution(bad)
    with pytest.raises(UsageError, match="has 5 columns, the attribution 4"):
        plot_attribution(values, np.zeros((4, 5)))


def test_a_region_shorter_than_the_window(made: Made, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        sheet = read_sheet(options(made, "0,1", window="strongest:5000"))
        read_sheet(options(made, "0", window="strongest:160"))
    assert [section.columns for section in sheet.sections] == [160, 160]
    words = "--window strongest:5000: region 'peak_0' has only 160 bases, the whole region is drawn"
    said = [record.getMessage() for record in caplog.records]
    assert said == [f"{words} (1 more region likewise)"]
