"""DRG's models: the original's predictions and gradients, and files that do not fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from models.drg_files import CALDERON, CASES, DATA, files, inputs, onehot

from drg_hpc.errors import InputError, UsageError
from drg_hpc.models.importers.common import Imported
from drg_hpc.models.importers.drg import import_drg
from drg_hpc.models.io import load_model, save_model
from drg_hpc.models.links import apply_links

BOTH = {"1e_combined_difference": (True, False)}


def imported(case: str, **options: object) -> Imported:
    return import_drg(*files(case), **{"reverse_complement": BOTH.get(case), **options})  # type: ignore[arg-type]


def regions() -> torch.Tensor:
    lines = (CALDERON / "regions.fa").read_text().splitlines()
    return onehot([line for line in lines if not line.startswith(">")])


def output(model: torch.nn.Module, parts: list[torch.Tensor]) -> torch.Tensor:
    return apply_links(model(parts if len(parts) > 1 else parts[0]), model.links)  # type: ignore[arg-type]


@pytest.mark.parametrize("compat", [False, True])
def test_calderon_predicts_and_explains_as_the_original(compat: bool) -> None:
    found, reference = imported("calderon", compat=compat), np.load(CALDERON / "reference.npz")
    x = regions().requires_grad_()
    prediction = found.module(x)
    np.testing.assert_allclose(prediction.detach().numpy(), reference["predictions"], rtol=0, atol=1e-5)
    (gradient,) = torch.autograd.grad(prediction[:, 7].sum(), x)
    np.testing.assert_allclose(gradient[:2].numpy(), reference["gradient_track7"], rtol=0, atol=1e-5)
    assert found.provenance["weighted_pooling_pad"] == ("batch-minimum" if compat else "activation-minimum")
    assert any("weighted pooling" in note for note in found.notes)
    assert found.provenance["ignored"] == ["modelstart.Pooling.pool.weight"]


def test_golden_values() -> None:
    """Predictions that the description of DRG's files gives for five random sequences."""
    draws = np.random.RandomState(0)
    codes = np.stack([draws.randint(0, 4, 401) for _ in range(5)])
    x = torch.from_numpy(np.eye(4, dtype=np.float32)[codes]).permute(0, 2, 1)
    wanted = [[3.9830408, 4.26066, 3.6176949, 4.5357466], [3.9350953, 4.4047947, 3.5073228, 4.499531]]
    np.testing.assert_allclose(imported("calderon").module(x)[:2, :4].detach().numpy(), wanted, rtol=0, atol=5e-6)


@pytest.mark.parametrize("case", CASES)
def test_reference_predictions_and_gradients(case: str) -> None:
    found, parts = imported(case), inputs(case)
    reference, gradients = np.load(DATA / case / "predictions.npz"), np.load(DATA / case / "gradients.npz")
    scale = reference["values"].std(0)
    error = np.abs(output(found.module, parts).detach().numpy() - reference["values_batch1"]) / scale
    assert error.max() < 1e-4
    some = [part[2:4].clone().requires_grad_() for part in parts]
    for k, track in enumerate(gradients["tracks"]):
        total = output(found.module, some)[:, track].sum()
        for j, gradient in enumerate(torch.autograd.grad(total, some, materialize_grads=True)):
            wanted = gradients["corrected"][:, k] if len(parts) == 1 else gradients["corrected"][j, :, k]
            corrected = (gradient - gradient.mean(1, keepdim=True)).numpy()
            assert np.abs(corrected - wanted).max() < 1e-4 * scale[track]
            assert (np.abs(wanted).max() > 1e-3 * scale[track]) == (np.abs(corrected).max() > 1e-3 * scale[track])


@pytest.mark.parametrize("case", ["calderon", *CASES])
def test_round_trip_and_rows_on_their_own(case: str, tmp_path: Path) -> None:
    found = imported(case)
    loaded = load_model(save_model(found.module, tmp_path / "m", found.config, found.module.tracks))
    parts = [regions()] if case == "calderon" else inputs(case)
    whole = output(found.module, parts)
    assert torch.equal(output(loaded, parts), whole)
    alone = output(found.module, [part[3:4] for part in parts])
    torch.testing.assert_close(alone, whole[3:4], rtol=1e-5, atol=1e-6)


def test_links_and_names() -> None:
    module = imported("1d_two_heads", tracks=["a", "b", "c", "d", "e", "f", "g"], heads=["rna", "atac"]).module
    assert module.tracks == list("abcdefg")
    assert [(head.name, head.tracks, head.link) for head in module.shape.heads] == [
        ("rna", 4, "identity"), ("atac", 3, "logit"),
    ]  # fmt: skip
    module = imported("1e_combined_difference", inputs=["dna", "rna"]).module
    assert dict(module.shape.inputs) == {"dna": 200, "rna": 200}
    for wrong in ({"tracks": ["a"]}, {"heads": ["a"]}, {"inputs": ["a", "b"]}, {"reverse_complement": [True, False]}):
        with pytest.raises(UsageError, match=r"1|2"):
            imported("1d_two_heads", **wrong)


def test_reverse_complement_is_part_of_the_model() -> None:
    for strand, scanned in ((False, False), (True, True)):
        found = imported("1a_conv_maxpool_dilated", reverse_complement=[strand])
        assert found.provenance["reverse_complement"] == [scanned]
        assert bool(found.notes) == strand  # the file says False
    values = [
        output(imported("1a_conv_maxpool_dilated", reverse_complement=[s]).module, inputs("1a_conv_maxpool_dilated"))
        for s in (False, True)
    ]
    assert not torch.allclose(*values)


def test_which_input_is_scanned_on_both_strands_must_be_said() -> None:
    with pytest.raises(InputError, match=r"reverse_complement = True: .* the file does not say which; say it for each"):
        import_drg(*files("1e_combined_difference"))


def test_tensors_of_another_model_are_named() -> None:
    dat, _ = files("1a_conv_maxpool_dilated")
    with pytest.raises(InputError) as caught:
        import_drg(dat, files("1c_attention")[1])
    message = str(caught.value)
    assert "convolutions.conv1d.weight is (16, 4, 9) instead of (16, 4, 11)" in message
    assert "convolution_layers.convlayers.Conv0.conv1d.weight is missing" in message
    assert "distattention.Mheadattention0.embed_queries.weight is unused" in message or "in all" in message


@pytest.mark.parametrize("change", ["missing", "unused", "shape"])
def test_one_tensor_that_does_not_fit(change: str, tmp_path: Path) -> None:
    dat, pth = files("1a_conv_maxpool_dilated")
    tensors = torch.load(pth, map_location="cpu", weights_only=True)
    name = "nfcs.nfcs.Fullyconnected1.bias"
    if change == "unused":
        name, tensors["nfcs.nfcs.Fullyconnected2.bias"] = "nfcs.nfcs.Fullyconnected2.bias", torch.zeros(24)
    else:
        tensors[name] = torch.zeros(23)
    if change == "missing":
        del tensors[name]
    torch.save(tensors, tmp_path / "w.pth")
    word = {"missing": "is missing", "unused": "is unused", "shape": r"is \(23,\) instead of \(24,\)"}[change]
    with pytest.raises(InputError, match=rf"{name.replace('.', '[.]')} {word}"):
        import_drg(dat, tmp_path / "w.pth")
    if change != "shape":
        found = import_drg(dat, tmp_path / "w.pth", allow=["nfcs.nfcs.Fully*.bias"])
        assert any("Fullyconnected2" in note or "fc1.bias" in note for note in found.notes)
        assert found.provenance["allowed"] == ["nfcs.nfcs.Fully*.bias"]


def test_changed_constants_are_not_ignored(tmp_path: Path) -> None:
    for case, name in (
        ("1c_attention", "distattention.Mheadattention0.pos_queries"),
        ("calderon", "modelstart.Pooling.pool.weight"),
    ):
        dat, pth = files(case)
        tensors = torch.load(pth, map_location="cpu", weights_only=True)
        tensors[name] = tensors[name] + 0.5
        torch.save(tensors, tmp_path / "w.pth")
        with pytest.raises(InputError, match=f"{name.replace('.', '[.]')} is "):
            import_drg(dat, tmp_path / "w.pth")


def _changed(case: str, tmp_path: Path, **settings: object) -> tuple[Path, Path]:
    dat, pth = files(case)
    lines = [line for line in dat.read_text().splitlines() if line.partition(" :")[0] not in settings]
    changed = tmp_path / "changed.dat"
    changed.write_text("\n".join([*lines, *(f"{key} : {value}" for key, value in settings.items())]))
    return changed, pth


@pytest.mark.parametrize("activation", ["Id0", "CLAMP", "THIRD"])
def test_weighted_pooling_needs_a_minimum(activation: str, tmp_path: Path) -> None:
    paths = _changed("calderon", tmp_path, kernel_function=activation)
    with pytest.raises(
        InputError, match=r"no minimum that a weighted pooling of 421 positions in windows of 81 .*--co"
    ):
        import_drg(*paths)
    model = import_drg(*paths, compat=True).module
    assert torch.isfinite(model(regions())).all()
    # Six whole windows of 70 in 400 + 2 * 10 positions: nothing to pad.
    fits = _changed("calderon", tmp_path, kernel_function=activation, pooling_size=70, pooling_steps=70, l_seqs=400)
    assert import_drg(*fits).module.length == 400


@pytest.mark.parametrize("activation", ["EXP", "EXPmax", "Sigmoid", "Tanh", "Sin", "SQUARED", "ReLUnonZero", "cGELU"])
def test_minimum_of_the_activation_is_close_to_that_of_the_sequence(activation: str, tmp_path: Path) -> None:
    paths = _changed("calderon", tmp_path, kernel_function=activation)
    values = [import_drg(*paths, compat=compat).module(regions()) for compat in (False, True)]
    scale = values[1].std(0)
    assert ((values[0] - values[1]).abs() / scale).max() < 1e-2


@pytest.mark.parametrize(
    ("setting", "value"),
    [("n_hyenaconv", 2), ("n_interpolated_conv", 1), ("nlconv", True), ("gapped_convs", "[[4, 2, 8, 1]]"),
     ("final_convolutions", 2), ("nfc_residuals", 1), ("neuralnetout", 2), ("interaction_layer", True),
     ("dilresidual_concat", True), ("fixed_kernels", 30), ("n_features", 5), ("kernel_function", "Softmax"),
     ("net_function", "EXP"), ("outclass", "Complex"), ("complement_pool", "sum"), ("num_kernels", 0),
     ("dilations", "[1,2,3]"), ("pooling_size", "ten")],
)  # fmt: skip
def test_parts_that_are_not_imported_are_named(setting: str, value: object, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=setting):
        import_drg(*_changed("1a_conv_maxpool_dilated", tmp_path, **{setting: value}))


def test_not_drgs_files(tmp_path: Path) -> None:
    dat, pth = files("1a_conv_maxpool_dilated")
    with pytest.raises(InputError, match=r"not a text; give DRG's _model_params\.dat first"):
        import_drg(pth, dat)
    with pytest.raises(InputError, match="no such file"):
        import_drg(tmp_path / "no.dat", pth)
    (tmp_path / "other.dat").write_text("kernels : 3\n")
    with pytest.raises(InputError, match="num_kernels is missing"):
        import_drg(tmp_path / "other.dat", pth)


def test_a_pickle_bomb_does_not_run(tmp_path: Path) -> None:
    """A .pth whose pickle would make a folder, by protocol 0 and inside torch's zip."""
    import zipfile

    mark = tmp_path / "ran"
    code = f"cos\nmkdir\n(V{mark}\ntR.".encode()
    (tmp_path / "plain.pth").write_bytes(code)
    with zipfile.ZipFile(tmp_path / "zipped.pth", "w") as archive:
        archive.writestr("archive/data.pkl", code)
        archive.writestr("archive/version", "3\n")
        archive.writestr("archive/byteorder", "little")
    for name in ("plain.pth", "zipped.pth"):
        with pytest.raises(InputError):
            import_drg(files("calderon")[0], tmp_path / name)
        assert not mark.exists()
    # The bytes do what they are meant to do where a pickle is loaded.
    import pickle

    pickle.loads(code)
    assert mark.is_dir()
