"""Attribution on a GPU, for bench/gpu: numbers against this machine's CPU, then regions a second of every method.

Networks are the Calderon-like deep one of configs/ (401 bp, 45 tracks) and BPNet (2,114 bp), with random weights; of
the gradients also the shallow one. Operations are those of the plan (:mod:`drg_hpc.attribution.cost`). The least
traffic is every layer's output written and read once a pass. A method's share is the time that products or copies take
at the card's rates, whichever is longer, of the time that was taken.

In fp32 a maximum of two nearly equal numbers may fall either way, and moves the attribution of that row: up to a
quarter of the rows may differ for that, none in fp64.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from attr_nets import network, sequences
from common import show
from gpu_train import NETS, copy_rate, median_seconds
from numpy.typing import NDArray

from drg_hpc.attribution.cost import VJPS, Work
from drg_hpc.attribution.engine import Engine
from drg_hpc.attribution.recipe import make_recipe
from drg_hpc.attribution.reference_spec import parse_references
from drg_hpc.attribution.targets import TrackStatistic
from drg_hpc.models.base import SequenceModel
from drg_hpc.models.compute import device_model, prepare_torch
from drg_hpc.models.operations import describe_operations
from drg_hpc.runs.spec import BLOCK_ROWS
from drg_hpc.training.throughput import product_rate

METHODS = ("gradient", "tism", "integrated-gradients", "smoothgrad", "expected-gradients", "deepshap")
TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-9}  # of the largest value
ALLOWED = {torch.float32: 0.25, torch.float64: 0.0}  # share of rows that may be above
COMPARED = 4
"""Tracks that both sides compute; speed is that of all."""
TRIED = (1, 4, 8, 16)
SMALL: dict[str, dict[str, object]] = {
    "calderon-deep": {"kernels": 16, "fc_size": 16},
    "calderon-shallow": {"kernels": 16},
    "bpnet": {"channels": 4, "layers": 3},
}
"""Changes of the networks for trying out."""


def _network(name: str, *, small: bool) -> SequenceModel:
    shape = NETS["calderon-deep" if name == "calderon-shallow" else name][0]
    return network(name, shape, **(SMALL[name] if small else {}))


def _work(model: SequenceModel, values: int, method: str) -> Work:
    recipe = make_recipe(method)
    header = {
        "operations": describe_operations(model, model.shape),
        "inputs": [{"name": name, "length": length} for name, length in model.shape.inputs.items()],
    }
    count = 0 if recipe.references is None else parse_references(recipe.references).count
    return Work(header, values=values, tracks=True, references=count)


def _engine(model: SequenceModel, method: str, *, tracks: int, batch: int, vjps: int) -> Engine:
    return Engine([TrackStatistic(model, range(tracks), "link")], make_recipe(method), batch=batch, vjps=vjps)


def _vjps(device: torch.device) -> int:
    return VJPS["cuda"] if device.type == "cuda" else 4  # on a CPU, so that they are tried out


def compare(name: str, device: torch.device, *, rows: int, small: bool) -> dict[str, dict[str, float]]:
    """Of every method and precision, the largest difference relative to the largest value, and rows above tolerance."""
    model = _network(name, small=small)
    tracks = min(COMPARED, model.shape.n_tracks)
    x = sequences(rows, model.shape.length)
    found = {}
    for dtype in TOLERANCE:
        sides = (device, _vjps(device)), (torch.device("cpu"), 1)
        modules = [(copy.deepcopy(model).to(place, dtype), vjps) for place, vjps in sides]
        for method in METHODS:
            forms: list[NDArray[Any]] = []
            for module, vjps in modules:
                engine = _engine(module, method, tracks=tracks, batch=rows, vjps=vjps)
                forms.append(np.stack([result.inputs[0].form for result in engine.block([x], range(rows))]))
            difference = np.abs(forms[0] - forms[1]).max(axis=(0, 2, 3)) / np.abs(forms[1]).max()
            above = float((difference > TOLERANCE[dtype]).mean())
            found[f"{method}, {str(dtype).removeprefix('torch.')}"] = {
                "largest_difference": float(difference.max()), "median_of_rows": float(np.median(difference)),
                "rows_above": above, "fault": bool(above > ALLOWED[dtype] or not np.isfinite(forms[0]).all()),
            }  # fmt: skip
    return found


def _traffic(model: SequenceModel) -> int:
    """Bytes of a forward pass of one row: every layer's output, written and read once."""
    sizes: list[int] = []
    layers = [layer for layer in model.modules() if not list(layer.children())]
    hooks = [layer.register_forward_hook(lambda _l, _i, out: sizes.append(out.numel())) for layer in layers]
    with torch.no_grad():
        model(model.shape.zeros(1, next(model.parameters()).device))
    for hook in hooks:
        hook.remove()
    return 2 * 4 * sum(sizes)


def _take(engine: Engine, x: NDArray[np.float32]) -> Callable[[], None]:
    def take() -> None:
        for result in engine.block([x], range(len(x))):
            result.inputs[0].projected.astype(np.float16)

    return take


def speed(
    model: SequenceModel, method: str, device: torch.device, *, rows: int, ceiling: float, copies: float, small: bool
) -> dict[str, Any]:
    """Regions a second of one method, all tracks, against what the device's products and memory allow."""
    tracks = model.shape.n_tracks
    work = _work(model, tracks, method)
    recipe = make_recipe(method)
    batch = min(rows, work.pass_rows(recipe, device.type))
    engine = _engine(model, method, tracks=tracks, batch=batch, vjps=_vjps(device) if tracks > 1 else 1)
    x = sequences(rows, model.shape.length)
    seconds = median_seconds(_take(engine, x), device, small=small)
    passes = work.passes(recipe)
    operations = 2 * passes * work.macs * rows
    bounds = {"products": operations / ceiling, "memory": passes * _traffic(model) * rows / copies}
    bound = max(bounds, key=bounds.__getitem__)
    return {
        "regions": rows, "tracks": tracks, "rows_of_a_pass": engine.batch, "seconds": seconds,
        "regions_per_s": rows / seconds, "passes": passes, "tflops": operations / seconds / 1e12,
        "share_of_products": bounds["products"] / seconds, "share_of_memory": bounds["memory"] / seconds,
        "bound": bound, "share": bounds[bound] / seconds,
    }  # fmt: skip


def one_by_one(model: SequenceModel, device: torch.device, *, rows: int, alone: int, small: bool) -> dict[str, float]:
    """Corrected gradients of all tracks against a backward pass per region and track at batch 1."""
    tracks = model.shape.n_tracks
    x = sequences(rows, model.shape.length)
    batch = min(rows, _work(model, tracks, "gradient").pass_rows(make_recipe("gradient"), device.type))
    ours = _take(_engine(model, "gradient", tracks=tracks, batch=batch, vjps=_vjps(device)), x)

    def original() -> None:
        for row in range(alone):
            at = torch.from_numpy(x[row : row + 1]).to(device).requires_grad_()
            values = model(at)
            for track in range(tracks):
                (found,) = torch.autograd.grad(values[0, track], at, retain_graph=True)
                (found - found.mean(dim=1, keepdim=True)).cpu()

    mine = median_seconds(ours, device, small=small) / rows
    theirs = median_seconds(original, device, small=small) / alone
    return {"ours_s_per_region": mine, "one_by_one_s_per_region": theirs, "ratio": theirs / mine}


def at_once(model: SequenceModel, device: torch.device, *, rows: int, small: bool) -> dict[str, dict[str, float]]:
    """Gradients of all tracks by how many are computed at once."""
    tracks = model.shape.n_tracks
    batch = min(rows, _work(model, tracks, "gradient").pass_rows(make_recipe("gradient"), device.type))
    x, found = sequences(rows, model.shape.length), {}
    for count in TRIED[:2] if small else TRIED:
        engine = _engine(model, "gradient", tracks=tracks, batch=batch, vjps=count)
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        seconds = median_seconds(_take(engine, x), device, small=small)
        memory = torch.cuda.max_memory_allocated(device) / 2**30 if device.type == "cuda" else 0.0
        found[str(count)] = {"seconds": seconds, "regions_per_s": rows / seconds, "memory_gib": memory}
    return found


def run(device: str, *, small: bool) -> dict[str, Any]:
    """Compare, then time."""
    chosen = torch.device(device)
    if chosen.type == "cuda" and not torch.cuda.is_available():
        sys.exit("bench/gpu: no GPU is visible (--device cpu tries the script out)")
    prepare_torch(torch.get_num_threads())
    results: dict[str, Any] = {"device": device_model(chosen), "correctness": {}, "speed": {}, "faults": []}
    for name in NETS:
        found = results["correctness"][name] = compare(name, chosen, rows=2 if small else 16, small=small)
        results["faults"] += [f"{name} {key}" for key, each in found.items() if each["fault"]]
    show(f"{results['device']} against this CPU, largest difference relative to the largest value", [
        (name, key, f"{each['largest_difference']:.1e}", f"{100 * each['rows_above']:.0f} % of the rows above")
        for name, found in results["correctness"].items() for key, each in found.items()
    ])  # fmt: skip
    _time(chosen, results, small=small)
    return results


def _time(device: torch.device, results: dict[str, Any], *, small: bool) -> None:
    """Every method on both networks; then one at a time, and several gradients at once."""
    rows = 2 if small else BLOCK_ROWS
    ceiling = results["ceiling_flops"] = product_rate(device, "fp32")
    copies = results["copy_bytes_per_s"] = copy_rate(device)
    models = {name: _network(name, small=small).to(device) for name in (*NETS, "calderon-shallow")}
    lines = []
    for name in NETS:
        for method in METHODS:
            found = speed(models[name], method, device, rows=rows, ceiling=ceiling, copies=copies, small=small)
            results["speed"][f"{name}, {method}"] = found
            shares = f"{100 * found['share_of_products']:.0f} %", f"{100 * found['share_of_memory']:.0f} %"
            lines.append((name, method, f"{found['regions_per_s']:.1f}", *shares))
    head = ("network", "method", "regions/s", "of products", "of memory")
    show(f"speed (products {ceiling / 1e12:.3g} TFLOP/s in fp32, copies {copies / 1e9:.0f} GB/s)", [head, *lines])
    wide = {name: models[name] for name in ("calderon-deep", "calderon-shallow")}
    one = results["one_by_one"] = {
        name: one_by_one(model, device, rows=rows, alone=1 if small else 8, small=small) for name, model in wide.items()
    }
    show(f"corrected gradients of {NETS['calderon-deep'][0].n_tracks} tracks, against one region and track at a time", [
        (name, f"{1 / each['ours_s_per_region']:.1f} regions/s", f"{each['ratio']:.1f}x (asked: 10x)")
        for name, each in one.items()
    ])  # fmt: skip
    several = results["at_once"] = {
        name: at_once(model, device, rows=rows, small=small) for name, model in wide.items()
    }  # fmt: skip
    show(f"gradients computed at once (drg-attr on a GPU: {VJPS['cuda']})", [
        (name, count, f"{each['regions_per_s']:.1f} regions/s", f"{each['memory_gib']:.2f} GiB")
        for name, found in several.items() for count, each in found.items()
    ])  # fmt: skip
