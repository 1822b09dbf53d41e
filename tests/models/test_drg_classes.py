"""Parts of DRG's networks without a reference file, against their description written out in float64."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from models import drg_formula as formula
from models.drg_files import drawn, onehot, write
from torch.nn import functional

from drg_hpc.errors import InputError
from drg_hpc.models.importers.drg import import_drg

LENGTH = 121
BASIC: dict[str, Any] = {
    "n_features": 4, "l_seqs": LENGTH, "n_classes": 5, "reverse_complement": True, "complement_pool": "max",
    "num_kernels": 8, "l_kernels": 7, "kernel_bias": True, "kernel_function": "GELU", "net_function": "GELU",
    "max_pooling": True, "pooling_size": 4, "pooling_steps": 4, "outclass": "Linear",
}  # fmt: skip


def sequences(rows: int = 3, length: int = LENGTH) -> torch.Tensor:
    generator = torch.Generator().manual_seed(length)
    codes = torch.randint(0, 4, (rows, length), generator=generator)
    return onehot(["".join("ACGT"[c] for c in row) for row in codes]).double()


def float64(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor.double() for name, tensor in tensors.items()}


def bnorm(stem: str, width: int) -> dict[str, tuple[int, ...]]:
    keys = ("weight", "bias", "running_mean", "running_var")
    return {f"{stem}.{key}": (width,) for key in keys} | {f"{stem}.num_batches_tracked": ()}


@pytest.mark.parametrize("kind", ["max", "mean", "weighted"])
def test_the_typical_deep_model(kind: str, tmp_path: Path) -> None:
    """Five dilated layers, four pooled ones, three fully connected ones, batch norms, shift 10, no first pooling."""
    settings = BASIC | {
        "kernel_bias": False, "max_pooling": False, "pooling_size": None, "pooling_steps": None, "shift_sequence": 10,
        "dilated_convolutions": 5, "dilations": "[1, 2, 4, 8, 16]", "l_dilkernels": 4, "conv_batch_norm": True,
        "transformer_convolutions": 4, "l_trkernels": 5, "trconv_dim": 6, f"tr{kind}_pooling": 3, "fclayer_size": 32,
        "nfc_layers": 3, "fc_batch_norm": False,
    }  # fmt: skip
    shapes: dict[str, tuple[int, ...]] = {"convolutions.conv1d.weight": (8, 4, 7)}
    for i in range(5):
        shapes |= bnorm(f"convolution_layers.convlayers.Bnorm{i}", 8)
        shapes[f"convolution_layers.convlayers.Conv{i}.conv1d.weight"] = (8, 8, 4)
    for i in range(4):
        width = 8 if i == 0 else 6
        shapes |= bnorm(f"trconvolution_layers.convlayers.Bnorm{i}", width)
        shapes[f"trconvolution_layers.convlayers.Conv{i}.conv1d.weight"] = (6, width, 5)
        shapes[f"trconvolution_layers.convlayers.Conv{i}.conv1d.bias"] = (6,)
    # The first residual changes the channels; the others repeat a pooling, whose constants some files hold.
    shapes["trconvolution_layers.convlayers.ResiduallayerConv0.rconv.conv.weight"] = (6, 8, 1)
    if kind == "mean":
        for i in (1, 2, 3):
            shapes[f"trconvolution_layers.convlayers.ResiduallayerConv{i}.rconv.pool0.weight"] = (1, 1, 1, 3)
            shapes[f"trconvolution_layers.convlayers.ResiduallayerConv{i}.rconv.pool0.norm"] = (1, 1, 6, 9)
    flat = 6 * 2  # 141 -> 47 -> 16 -> 6 -> 2
    for name, (out, width) in {
        "EmbeddtoFully": (32, flat), "Fullyconnected0": (35, 32), "Fullyconnected1": (35, 35),
        "Fullyconnected2": (32, 35),
    }.items():  # fmt: skip
        shapes |= {f"nfcs.nfcs.{name}.weight": (out, width), f"nfcs.nfcs.{name}.bias": (out,)}
    shapes |= {"classifier.classifier.Linear.weight": (5, 32), "classifier.classifier.Linear.bias": (5,)}
    tensors = drawn(shapes)
    paths = write(tmp_path, settings, tensors)
    if kind == "weighted":  # what is pooled is the output of convolutions, without a minimum
        with pytest.raises(InputError, match="no minimum"):
            import_drg(*paths)
    found = import_drg(*paths, compat=kind == "weighted")
    x, t = sequences(), float64(tensors)
    padded = functional.pad(x, (10, 10), value=0.25)
    layer = {"stride": 1, "residual": True, "norm": True}
    h = formula.scan(padded, t, "convolutions.conv1d", strands=True)
    dilated = [layer | {"dilation": 2**i, "pool": None} for i in range(5)]
    h = formula.tower(h, t, "convolution_layers.convlayers", dilated)
    h = formula.tower(h, t, "trconvolution_layers.convlayers", [layer | {"dilation": 1, "pool": (kind, 3)}] * 4)
    wanted = formula.head(formula.fc(h.flatten(1), t, "nfcs.nfcs", 3), t, "classifier.classifier")
    torch.testing.assert_close(found.module.double()(x), wanted, rtol=1e-8, atol=1e-8)
    assert found.provenance["weighted_pooling_pad"] == ("batch-minimum" if kind == "weighted" else "none")


def test_strides_and_rare_residuals(tmp_path: Path) -> None:
    """Strided convolutions are mirrored by means on the shortcut; residuals and poolings after every second layer."""
    settings = BASIC | {
        "reverse_complement": False, "mean_pooling": True, "pooling_size": 5, "pooling_steps": 5,
        "net_function": "Tanh", "dilated_convolutions": 4, "dilations": "[1,2,1,1]", "strides": "[1,2,1,1]",
        "l_dilkernels": "[3,3,4,5]", "conv_increase": 1.25, "dilpooling_residual": 2, "dilpooling_steps": 2,
        "dilmax_pooling": 2,
    }  # fmt: skip
    widths = [16, 20, 25, 31, 38]
    sizes = [3, 3, 4, 5]
    stem = "convolution_layers.convlayers"
    shapes: dict[str, tuple[int, ...]] = {"convolutions.conv1d.weight": (8, 4, 7), "convolutions.conv1d.bias": (8,)}
    for i, size in enumerate(sizes):
        shapes[f"{stem}.Conv{i}.conv1d.weight"] = (widths[i + 1], widths[i], size)
    shapes[f"{stem}.ResiduallayerConv1.rconv.conv.weight"] = (25, 16, 1)
    shapes[f"{stem}.ResiduallayerConv3.rconv.conv.weight"] = (38, 25, 1)
    shapes |= {"classifier.classifier.Linear.weight": (5, 38 * 4), "classifier.classifier.Linear.bias": (5,)}
    tensors = drawn(shapes)
    found = import_drg(*write(tmp_path, settings, tensors))
    assert any("residuals after every so many layers" in note for note in found.notes)
    x, t = sequences(), float64(tensors)
    h = formula.scan(x, t, "convolutions.conv1d", strands=False)
    h = torch.cat([formula.pool(h, "mean", 5), formula.pool(h, "max", 5)], dim=1)
    layers = [
        {"dilation": d, "stride": s, "residual": i % 2 == 1, "norm": False, "pool": ("max", 2) if i % 2 else None}
        for i, (d, s) in enumerate(zip([1, 2, 1, 1], [1, 2, 1, 1], strict=True))
    ]
    h = formula.tower(h, t, stem, layers, act=torch.tanh)
    wanted = formula.head(h.flatten(1), t, "classifier.classifier")
    torch.testing.assert_close(found.module.double()(x), wanted, rtol=1e-8, atol=1e-8)


def test_a_tower_ends_where_the_sequence_does(tmp_path: Path) -> None:
    """DRG stops building when fewer positions are left than a kernel or a window has."""
    settings = BASIC | {"pooling_size": 30, "pooling_steps": 30, "transformer_convolutions": 5, "l_trkernels": 3,
                        "trmax_pooling": 2}  # fmt: skip
    stem = "trconvolution_layers.convlayers"
    shapes: dict[str, tuple[int, ...]] = {"convolutions.conv1d.weight": (8, 4, 7), "convolutions.conv1d.bias": (8,)}
    for i in range(2):  # 5 -> 3 -> 2 positions
        shapes |= {f"{stem}.Conv{i}.conv1d.weight": (8, 8, 3), f"{stem}.Conv{i}.conv1d.bias": (8,)}
    shapes |= {"classifier.classifier.Linear.weight": (5, 16), "classifier.classifier.Linear.bias": (5,)}
    config = import_drg(*write(tmp_path, settings, drawn(shapes))).config
    assert config.tower.layers == 2  # type: ignore[union-attr]


@pytest.mark.parametrize("counts", [False, True])
def test_profile_network(counts: bool, tmp_path: Path) -> None:
    settings = BASIC | {
        "max_pooling": False, "pooling_size": None, "pooling_steps": None, "n_classes": 2, "final_kernel": 6,
        "final_strides": 1, "predict_from_dist": counts, "l_out": LENGTH if counts else 100, "weighted_pooling": True,
        "dilated_convolutions": 1, "l_dilkernels": 3,
    }  # fmt: skip
    shapes: dict[str, tuple[int, ...]] = {
        "convolutions.conv1d.weight": (8, 4, 7), "convolutions.conv1d.bias": (8,),
        "convolution_layers.convlayers.Conv0.conv1d.weight": (8, 8, 3),
        "linear_classifier.fconvlayer.weight": (2, 8, 6), "linear_classifier.fconvlayer.bias": (2,),
    }  # fmt: skip
    if counts:
        shapes |= {"linear_classifier.cpred.0.weight": (2, 8), "linear_classifier.cpred.0.bias": (2,)}
    tensors = drawn(shapes)
    found = import_drg(*write(tmp_path, settings, tensors))
    x, t = sequences(), float64(tensors)
    h = formula.scan(x, t, "convolutions.conv1d", strands=True)
    one = {"dilation": 1, "stride": 1, "residual": True, "norm": False, "pool": None}
    h = formula.tower(h, t, "convolution_layers.convlayers", [one])
    wanted = formula.conv(h, t["linear_classifier.fconvlayer.weight"], t["linear_classifier.fconvlayer.bias"])
    if counts:
        total = h.mean(-1) @ t["linear_classifier.cpred.0.weight"].T + t["linear_classifier.cpred.0.bias"]
        wanted = torch.softmax(wanted, -1) * formula.gelu(total)[..., None]
    else:
        wanted = wanted[..., 10:110]  # 21 positions too many: 10 on the left
    torch.testing.assert_close(found.module.double()(x), wanted, rtol=1e-8, atol=1e-8)
    assert found.provenance["class"] == "bpcnn"
    assert (found.module.bins, found.module.shape.span) == ((LENGTH, 0) if counts else (100, 100))


def _combined(**changes: Any) -> dict[str, Any]:
    return BASIC | {"n_inputs": 2, "l_seqs": "[121, 60]", "reverse_complement": False} | changes


def _trunk_shapes(prefix: str, positions: int, outputs: dict[str, int]) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {
        f"{prefix}convolutions.conv1d.weight": (8, 4, 7), f"{prefix}convolutions.conv1d.bias": (8,)
    }  # fmt: skip
    for stem, tracks in outputs.items():
        shapes |= {f"{prefix}{stem}Linear.weight": (tracks, 8 * positions), f"{prefix}{stem}Linear.bias": (tracks,)}
    return shapes


def _vector(x: torch.Tensor, t: dict[str, torch.Tensor], prefix: str) -> torch.Tensor:
    return formula.pool(formula.scan(x, t, f"{prefix}convolutions.conv1d", strands=False), "max", 4).flatten(1)


@pytest.mark.parametrize("modalities", [1, 2])
def test_neural_combination_of_unequal_lengths(modalities: int, tmp_path: Path) -> None:
    chosen = {1: "ALL", 2: "[[0, 1], [1]]"}[modalities]
    settings = _combined(
        n_classes=[5, 3][:modalities] if modalities > 1 else 5, cnn_embedding=12, n_combine_layers=2,
        combine_function="GELU", input_to_combinefunc=chosen,
        outclass=["Linear", "Class"] if modalities > 1 else "Linear",
    )  # fmt: skip
    shapes = _trunk_shapes("cnns.CNN0.", 31, {"classifier.classifier.": 12})
    shapes |= _trunk_shapes("cnns.CNN1.", 15, {"classifier.classifier.": 12})
    for m in range(modalities):
        own = f"{m}." if modalities > 1 else ""
        width, wide, tracks = (24, 26, 5) if m == 0 else (12, 13, 3)
        for i, (out, inner) in enumerate([(wide, width), (width, wide)]):
            shapes |= {f"nclayers.{own}nfcs.Fullyconnected{i}.weight": (out, inner)}
            shapes |= {f"nclayers.{own}nfcs.Fullyconnected{i}.bias": (out,)}
        shapes |= {f"classifier.{own}classifier.Linear.weight": (tracks, width)}
        shapes |= {f"classifier.{own}classifier.Linear.bias": (tracks,)}
    tensors = drawn(shapes)
    found = import_drg(*write(tmp_path, settings, tensors))
    parts, t = [sequences(length=121), sequences(length=60)], float64(tensors)
    vectors = [
        formula.gelu(formula.head(_vector(x, t, f"cnns.CNN{i}."), t, f"cnns.CNN{i}.classifier.classifier"))
        for i, x in enumerate(parts)
    ]
    wanted = []
    for m in range(modalities):
        own = f"{m}." if modalities > 1 else ""
        h = torch.cat(vectors, dim=1) if m == 0 else vectors[1]
        wanted.append(formula.head(formula.fc(h, t, f"nclayers.{own}nfcs", 2), t, f"classifier.{own}classifier"))
    torch.testing.assert_close(found.module.double()(parts), torch.cat(wanted, dim=1), rtol=1e-8, atol=1e-8)
    assert found.module.links == ["identity"] * 5 + ["logit"] * 3 * (modalities - 1)


_A_B = {
    "DIFFERENCE": lambda a, b: a - b,
    "EXPDIFFERENCE": lambda a, b: torch.exp(torch.clamp(a - b, max=math.log(2048))),
    "Fraction": lambda a, b: (torch.relu(a) + 1e-12) / (torch.relu(b) + 1e-12),
    "LOGXPLUSFRACTION": lambda a, b: torch.log(2 + (torch.relu(a) + 1e-12) / (torch.relu(b) + 1e-12)) / math.log(2),
    "logxplusexpdifference": lambda a, b: (
        torch.log(2 + torch.exp(torch.clamp(a - b, max=math.log(2048)))) / math.log(2)
    ),
}


@pytest.mark.parametrize("name", _A_B)
@pytest.mark.parametrize("shared", [False, True])
def test_formulas(name: str, shared: bool, tmp_path: Path) -> None:
    settings = _combined(
        n_classes="[4, 4]", outclass=f"['{name}', 'DIRECT']", input_to_combinefunc="[[1, 0], [1]]",
        shared_embedding=shared, combine_function="Linear", cnn_embedding="[4, 4]", outlog=2, outlogoffset=2,
    )  # fmt: skip
    stems = {"classifier.classifier.": 4} if shared else {f"classifier.{m}.classifier.": 4 for m in range(2)}
    tensors = drawn(_trunk_shapes("cnns.CNN0.", 31, stems) | _trunk_shapes("cnns.CNN1.", 15, stems))
    found = import_drg(*write(tmp_path, settings, tensors))
    parts, t = [sequences(length=121), sequences(length=60)], float64(tensors)

    def numbers(i: int, m: int) -> torch.Tensor:
        stem = f"cnns.CNN{i}.{next(iter(stems)) if shared else f'classifier.{m}.classifier.'}"
        return formula.head(_vector(parts[i], t, f"cnns.CNN{i}."), t, stem.removesuffix("."))

    wanted = torch.cat([_A_B[name](numbers(1, 0), numbers(0, 0)), numbers(1, 1)], dim=1)
    torch.testing.assert_close(found.module.double()(parts), wanted, rtol=1e-8, atol=1e-8)
    unused = [] if shared else [f"cnns.CNN0.classifier.1.classifier.Linear.{leaf}" for leaf in ("weight", "bias")]
    assert sorted(found.provenance["ignored"]) == sorted(unused)


def test_shared_networks_may_stand_twice_but_must_be_equal(tmp_path: Path) -> None:
    settings = _combined(l_seqs="[121, 121]", n_classes=4, outclass="DIFFERENCE", shared_cnns=True,
                         combine_function="Linear", shared_embedding=True)  # fmt: skip
    tensors = drawn(_trunk_shapes("cnns.CNN0.", 31, {"classifier.classifier.": 4}))
    once = import_drg(*write(tmp_path, settings, tensors)).module
    both = tensors | {name.replace("CNN0", "CNN1"): tensor for name, tensor in tensors.items()}
    twice = import_drg(*write(tmp_path, settings, both)).module
    parts = [sequences(length=121).float(), sequences(length=121).flip(0).float()]
    assert len(once.networks) == 1  # type: ignore[arg-type]
    assert torch.equal(once(parts), twice(parts))  # type: ignore[arg-type]
    torch.testing.assert_close(once(parts), -once(parts[::-1]))  # type: ignore[arg-type]
    both["cnns.CNN1.convolutions.conv1d.bias"] = tensors["cnns.CNN0.convolutions.conv1d.bias"] + 1
    with pytest.raises(InputError, match=r"cnns\.CNN1\.convolutions\.conv1d\.bias differs from cnns\.CNN0"):
        import_drg(*write(tmp_path, settings, both))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"outclass": "['DIFFERENCE', 'Linear']", "n_classes": "[4, 4]"}, "formulas for some modalities only"),
        ({"outclass": "LOGXPLUSDIFFERENCE"}, "LOGXPLUSDIFFERENCE is not imported"),
        ({"outclass": "DIRECT", "input_to_combinefunc": "[[0, 1]]"}, "is of 1 inputs, 2 are named"),
        ({"input_to_combinefunc": "[[0, 2]]"}, "list of numbers below 2"),
        ({"combine_function": "ReLU", "cnn_embedding": 6}, "combine_function"),
        ({"nfc_layers": "[2, 2]"}, "nfc_layers"),
    ],
)
def test_combinations_that_are_not_imported(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    tensors = drawn(_trunk_shapes("cnns.CNN0.", 31, {"classifier.classifier.": 4}))
    with pytest.raises(InputError, match=message):
        import_drg(*write(tmp_path, _combined(n_classes=4) | changes, tensors))
