"""Figures of an evaluation: which there are, that they show what the tables hold, and equal bytes for equal tables."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from matplotlib.figure import Figure
from prediction.arrays import write_folder

from drg_hpc.prediction.classes import Group
from drg_hpc.prediction.tables import Bootstrap
from drg_hpc.report import figure_scatter, figure_style
from drg_hpc.report.figure_metrics import draw_classes
from drg_hpc.report.figure_style import short, spread
from drg_hpc.report.figures import draw_evaluation

HISTORY = "epoch\ttrain_loss\tvalid_loss\tauroc\n1\t0.7\t0.6\t0.8\n2\t0.5\t0.55\t\n3\t0.4\t0.58\t0.9\n"


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> dict[str, Figure]:
    """Figures by name, as they were when they were saved."""
    found: dict[str, Figure] = {}
    save = Figure.savefig

    def note(self: Figure, path: Path, **options: object) -> None:
        found[Path(path).stem] = self
        save(self, path, **options)

    monkeypatch.setattr(Figure, "savefig", note)
    return found


def evaluation(folder: Path, *, binary: bool, tracks: int, models: int, bins: int = 0, rows: int = 60) -> Path:
    rng = np.random.default_rng(0)
    signal = rng.normal(size=(rows, tracks, *([bins] if bins else [])))
    target = ((signal > 0) if binary else np.exp(signal)).astype(np.float32)
    target[rng.random(target.shape) < 0.02] = np.nan
    predictions = {f"_model{i}": 1 / (1 + np.exp(-signal - rng.normal(size=signal.shape))) for i in range(models)}
    names = [f"$track_{i} <&> with a name that is far too long to be shown" for i in range(tracks)]
    groups = (Group("class", "B cells", tuple(range(0, tracks, 2))), Group("class", "T", tuple(range(1, tracks, 2))))
    folder.mkdir()
    return write_folder(folder, target, predictions, tracks=names, groups=groups, bootstrap=Bootstrap(20, 0))


def models(folder: Path, count: int) -> Mapping[str, Path]:
    found = {}
    for i in range(count):
        (folder / f"m{i}").mkdir()
        if i != 1:  # the second was imported and has no history
            (folder / f"m{i}" / "history.tsv").write_text(HISTORY)
        found[f"_model{i}"] = folder / f"m{i}"
    return found


def names(folder: Path) -> set[str]:
    figures = sorted((folder / "figures").iterdir())
    assert {p.suffix for p in figures} <= {".png", ".pdf"}
    assert {p.stem for p in figures if p.suffix == ".png"} == {p.stem for p in figures if p.suffix == ".pdf"}
    for path in figures:
        if path.suffix == ".png":
            image = matplotlib.image.imread(path)
            assert image.shape[0] > 200 and image[..., :3].std() > 0.02, path
    return {path.stem for path in figures}


def test_two_models_with_classes(tmp_path: Path, drawn: dict[str, Figure]) -> None:
    folder = evaluation(tmp_path / "e", binary=True, tracks=3, models=2)
    draw_evaluation(folder, models(tmp_path, 2))
    assert names(folder) == {"loss", "scatter-1", "curves", "tracks", "classes", "regions"}
    losses = drawn["loss"].axes
    assert [axes.get_ylabel() for axes in losses] == ["loss", "AUROC (validation)"]
    (train, valid, ring) = losses[0].lines
    assert valid.get_ydata().tolist() == [0.6, 0.55, 0.58] and ring.get_xdata().tolist() == [2.0]
    assert train.get_linestyle() == "--"
    assert [axes.get_ylabel() for axes in drawn["classes"].axes][:2] == ["AUROC of a track", "AUPRC of a track"]
    assert drawn["classes"].axes[0].get_title().startswith("Wilcoxon p = ")
    assert [text.get_text() for text in drawn["classes"].axes[0].get_xticklabels()] == ["B cells", "T"]
    labels = [text.get_text().strip() for text in drawn["tracks"].legends[0].get_texts()]
    assert labels == ["_model0", "_model1"]
    assert len(drawn["curves"].axes) == 6  # ROC and PR of the first three tracks
    assert all("AUROC 0." in text.get_text() for text in drawn["curves"].axes[0].get_legend().get_texts())
    inside(drawn)


def test_profiles(tmp_path: Path, drawn: dict[str, Figure]) -> None:
    folder = evaluation(tmp_path / "e", binary=False, tracks=3, models=1, bins=5)
    draw_evaluation(folder, {})
    assert names(folder) == {"scatter-1", "tracks", "classes", "regions"}
    panel = drawn["scatter-1"].axes[1]
    with np.load(folder / "curves.npz") as curves:
        y, p = curves["scatter_target"][:, 1], curves["scatter_prediction"][:, 1]
    there = np.isfinite(y)
    assert not there.all()
    np.testing.assert_allclose(panel.collections[0].get_offsets(), np.column_stack([y, p])[there], rtol=1e-6)
    assert "r 0." in panel.get_title() and "row total" in drawn["scatter-1"].get_supxlabel()
    assert drawn["tracks"].axes[0].get_xlabel() == "Pearson r, with its 95 % interval"


def test_many_tracks_take_pages(tmp_path: Path, drawn: dict[str, Figure], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figure_scatter, "PANELS", 4)
    folder = evaluation(tmp_path / "e", binary=True, tracks=6, models=1, rows=25)
    draw_evaluation(folder, {})
    assert {name for name in names(folder) if name.startswith("scatter")} == {"scatter-1", "scatter-2"}
    assert [sum(axes.axison for axes in drawn[f"scatter-{page}"].axes) for page in (1, 2)] == [4, 2]
    assert len(drawn["curves"].axes[0].get_legend().get_texts()) == 6  # below the panels
    inside({name: drawn[name] for name in ("curves", "scatter-2")})


def inside(drawn: Mapping[str, Figure]) -> None:
    """Nothing is cut off at the edges."""
    for name, figure in drawn.items():
        box = figure.get_tightbbox()
        width, height = figure.get_size_inches()
        over = max(-box.x0, -box.y0, box.x1 - width, box.y1 - height)
        assert over < 0.06, f"{name}: {over} inches"


def test_equal_tables_give_equal_figures(tmp_path: Path) -> None:
    folder = evaluation(tmp_path / "e", binary=True, tracks=2, models=1, rows=20)
    made = []
    for _ in range(2):
        draw_evaluation(folder, {})
        made.append({path.name: path.read_bytes() for path in (folder / "figures").iterdir()})
        shutil.rmtree(folder / "figures")
    assert made[0] == made[1] and len(made[0]) == 6


def test_one_number_needs_no_figure(tmp_path: Path) -> None:
    tmp_path.joinpath("e").mkdir()
    y = (np.arange(40) % 2).astype(np.float32)[:, None]
    folder = write_folder(tmp_path / "e", y, {"m": y * 0.5 + np.linspace(0, 1, 40)[:, None]}, tracks=["bound"])
    draw_evaluation(folder, {})
    assert names(folder) == {"scatter-1", "curves"}


def test_undefined_metrics_draw_nothing(tmp_path: Path) -> None:
    tmp_path.joinpath("e").mkdir()
    folder = write_folder(
        tmp_path / "e", np.full((4, 2), np.nan, np.float32), {"m": np.zeros((4, 2))}, tracks=["a", "b"]
    )
    draw_evaluation(folder, {})
    assert names(folder) == {"scatter-1"}  # empty panels that say so
    draw_classes(tmp_path / "none", [{"name": "m", "tracks": []}], [])
    assert not (tmp_path / "none.png").exists()


def test_short_names_and_spread_points() -> None:
    assert short("abc") == "abc" and short("_x") == " _x"
    assert short("abcdefghij", 7) == "abc…hij" and len(short("a" * 99)) == 26
    points = spread(200, 0.4)
    assert np.abs(points).max() <= 0.2 and len(np.unique(points)) == 200
    assert len({(figure_style.colour(i), figure_style.marker(i)) for i in range(56)}) == 56
