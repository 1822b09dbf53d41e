"""The five statistics against numpy, written out row by row."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from drg_hpc.interpretation.kernel_effects import Collector, Shape, statistics

KERNELS, ROWS, TRACKS = 4, 90, 6
CLASSES = ((0, 1, 2), (3, 4, 5))


def pearson(a: np.ndarray, b: np.ndarray) -> float:
    known = ~np.isnan(b)
    return float(np.corrcoef(a[known], b[known])[0, 1]) if known.sum() > 1 else 0.0


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    y = generator.normal(2, 1, (ROWS, TRACKS))
    f = y + generator.normal(0, 0.7, y.shape)
    without = f + generator.normal(0.2, 0.5, (KERNELS, ROWS, TRACKS))
    without[3] = f  # a kernel without effect
    y[generator.random(y.shape) < 0.05] = np.nan
    return f, without, y, generator.integers(-1, 2, ROWS)


def collect(data: tuple[np.ndarray, ...], *, measured: bool = True, step: int = 40) -> dict[str, np.ndarray]:
    f, without, y, regions = data
    collector = Collector(Shape(KERNELS, TRACKS, CLASSES if measured else (), 2, 0.3, measured))
    for at in range(0, ROWS, step):
        here = slice(at, at + step)
        collector.rows(torch.tensor(f[here]), torch.tensor(y[here]) if measured else None, torch.tensor(regions[here]))
        for first in (0, 2):
            collector.without(slice(first, first + 2), torch.tensor(without[first : first + 2, here]))
    return statistics(collector.sums())


def test_statistics(data: tuple[np.ndarray, ...]) -> None:
    f, without, y, regions = data
    found = collect(data)
    for k in range(KERNELS):
        d = f - without[k]
        square = (d**2).sum(1, keepdims=True)
        impact = np.divide(d**3, square, out=np.zeros_like(d), where=square > 0).sum(0)
        np.testing.assert_allclose(found["effect"][k], d.sum(0), atol=1e-9)
        np.testing.assert_allclose(found["impact"][k], impact, atol=1e-9)
        for t in range(TRACKS):
            full, masked = pearson(f[:, t], y[:, t]), pearson(without[k, :, t], y[:, t])
            assert found["correlation"][k, t] == pytest.approx((1 - masked) - (1 - full), abs=1e-9)
            rmse = [np.sqrt(np.nanmean((p[:, t] - y[:, t]) ** 2)) for p in (without[k], f)]
            assert found["rmse"][k, t] == pytest.approx(rmse[0] - rmse[1], abs=1e-9)
        for number, tracks in enumerate(CLASSES):
            losses = []
            for n in range(ROWS):
                full, masked = (pearson(p[n, tracks], y[n, tracks]) for p in (f, without[k]))
                if full >= 0.3:
                    losses.append(full - masked)
            assert found["class_correlation"][k, number] == pytest.approx(np.mean(losses), abs=1e-9)
        for c in range(2):
            np.testing.assert_allclose(found["region_effect"][c, k], d[regions == c].sum(0), atol=1e-9)
    np.testing.assert_array_equal(found["region_rows"], [(regions == c).sum() for c in range(2)])
    np.testing.assert_allclose(found["base_correlation"], [pearson(f[:, t], y[:, t]) for t in range(TRACKS)], rtol=1e-9)
    for name in ("effect", "impact", "correlation", "rmse", "class_correlation"):
        assert np.abs(found[name][3]).max() < 1e-9 < np.abs(found[name][:3]).max()


def test_without_measured_values(data: tuple[np.ndarray, ...]) -> None:
    found = collect(data, measured=False)
    assert set(found) == {"effect", "impact", "region_effect", "region_rows"}
    np.testing.assert_allclose(found["effect"], collect(data, step=17)["effect"], rtol=1e-9, atol=1e-12)


def test_what_does_not_vary_has_no_correlation() -> None:
    collector = Collector(Shape(1, 2, ((0, 1),)))
    f, y = torch.ones(5, 2), torch.rand(5, 2)
    collector.rows(f, y, None)
    collector.without(slice(0, 1), f[None])
    found = statistics(collector.sums())
    assert np.isnan(found["correlation"]).all()
    assert np.isnan(found["class_correlation"]).all()  # no row correlates well enough
    np.testing.assert_allclose(found["rmse"], 0, atol=1e-12)
