"""Files whose tensors have the right names and shapes, but not values that a network can have; damaged arrays."""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from models.drg_files import files as drg_files
from safetensors.torch import save_file
from torch import nn

from drg_hpc.errors import InputError
from drg_hpc.models.config import UserConfig
from drg_hpc.models.importers.common import fill, read_tensors
from drg_hpc.models.importers.drg import import_drg
from drg_hpc.models.importers.drg_params import parse_value
from drg_hpc.models.importers.keras import read_layers
from drg_hpc.models.importers.reference import read_arrays
from drg_hpc.models.importers.torch_file import import_torch
from tests.models import borzoi_files as borzoi


def network() -> nn.Module:
    made = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    made.register_buffer("mask", torch.full((2,), -torch.inf))
    return made


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("0.weight", lambda x: x.index_fill(0, torch.tensor([2]), torch.nan), "0.weight holds values that are not fin"),
        ("1.running_mean", lambda x: x - torch.inf, "1.running_mean holds values that are not finite"),
        ("0.bias", lambda x: (x.double() + 1) * 1e300, "0.bias holds values that are not finite in torch.float32"),
        ("1.running_var", lambda x: -x, "1.running_var holds negative variances"),
        ("0.weight", lambda x: x.to(torch.int8), "0.weight is a tensor of torch.int8, torch.strided instead of"),
        ("0.weight", lambda x: x.to(torch.complex64), "0.weight is a tensor of torch.complex64"),
        ("0.weight", lambda x: x.to_sparse(), "0.weight is a tensor of torch.float32, torch.sparse_coo instead of"),
        ("0.weight", lambda x: x.to("meta"), "0.weight is a tensor of"),
        ("1.num_batches_tracked", lambda x: x.float(), "1.num_batches_tracked is a tensor of torch.float32"),
    ],
)
def test_values_that_no_network_has(name: str, change: Callable[[torch.Tensor], torch.Tensor], message: str) -> None:
    state = network().state_dict()
    for kind in (torch.float16, torch.bfloat16, torch.float64):  # these are taken
        module = network()
        fill(module, {key: x.to(kind) if x.is_floating_point() else x for key, x in state.items()}, source=Path("f"))
        torch.testing.assert_close(module[0].weight, state["0.weight"].to(kind).float())  # type: ignore[index]
        assert torch.isinf(module.mask).all()  # type: ignore[arg-type]
    module = network()
    before = module[0].weight.clone()  # type: ignore[index]
    with pytest.raises(InputError, match=message.replace(".", r"\.")):
        fill(module, state | {name: change(state[name])}, source=Path("f"))
    assert torch.equal(module[0].weight, before)  # type: ignore[index]


class Tied(nn.Module):
    """One matrix, used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.scan, self.a, self.b = nn.Conv1d(4, 5, 3), nn.Linear(5, 5), nn.Linear(5, 5)
        self.b.weight = self.a.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.b(self.a(self.scan(x).mean(-1)).relu())
        return out


def test_tied_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A safetensors file may hold one of their names; with both, they must be equal."""
    module = type(sys)("network_with_tied_weights")
    module.Tied = Tied  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(Tied, "__module__", module.__name__)
    path, factory = tmp_path / "w.safetensors", UserConfig(factory=f"{module.__name__}:Tied")
    made, x = Tied(), torch.randn(2, 4, 12)
    state = {name: tensor.clone() for name, tensor in made.state_dict().items()}
    for left_out in ("a.weight", "b.weight", None):
        save_file({name: tensor for name, tensor in state.items() if name != left_out}, path)
        found = import_torch([path], factory=factory, lengths=[12])
        assert torch.equal(found.module(x), made(x)) and not found.notes
    save_file(state | {"b.weight": state["b.weight"] + 1}, path)
    with pytest.raises(InputError, match=r"b\.weight differs from another name of the same tensor: a\.weight, b\.we"):
        import_torch([path], factory=factory, lengths=[12])


def test_a_dict_that_holds_itself(tmp_path: Path) -> None:
    endless: dict[str, Any] = {"epoch": 1}
    endless["state_dict"] = endless
    torch.save(endless, tmp_path / "w.pth")
    with pytest.raises(InputError, match="holds a dict, not a state_dict"):
        read_tensors(tmp_path / "w.pth")


@pytest.mark.parametrize("key", ["num_kernels", "pooling_size", "layer_widening", "conv_increase", "dilmax_pooling"])
@pytest.mark.parametrize("value", ["nan", "inf", "1e400", "[1e400]", "9" * 5000])
def test_settings_that_are_no_numbers(key: str, value: str, tmp_path: Path) -> None:
    dat, pth = drg_files("1a_conv_maxpool_dilated")
    lines = [line for line in dat.read_text().splitlines() if line.partition(" :")[0] != key]
    changed = tmp_path / "m.dat"
    changed.write_text("\n".join([*lines, f"{key} : {value}"]))
    with pytest.raises(InputError, match=key):
        import_drg(changed, pth)
    assert parse_value("1e3") == 1000 and parse_value("-inf") == "-inf"


@pytest.mark.parametrize(
    ("case", "value", "fault"),
    [
        ("1a_conv_maxpool_dilated", "no", "holds a value of the wrong kind"),
        ("1a_conv_maxpool_dilated", "['a']", "holds a value of the wrong kind"),
        ("1a_conv_maxpool_dilated", "[True, False]", "has 2 values for 1"),
        ("1e_combined_difference", "[True]", "has 1 values for 2"),
        ("1e_combined_difference", "1", "the file does not say which"),
    ],
)
def test_strands_that_cannot_be_read(case: str, value: str, fault: str, tmp_path: Path) -> None:
    """Any text used to be yes."""
    dat, pth = drg_files(case)
    lines = [line for line in dat.read_text().splitlines() if not line.startswith("reverse_complement")]
    changed = tmp_path / "m.dat"
    changed.write_text("\n".join([*lines, f"reverse_complement : {value}"]))
    with pytest.raises(InputError, match=f"reverse_complement = .*{fault}"):
        import_drg(changed, pth)


def test_hdf5_arrays_of_other_files(tmp_path: Path) -> None:
    """Bytes of any file could become weights, of which no digest would be kept."""
    layers = borzoi.keras_layers(borzoi.state())
    other = borzoi.write_keras(tmp_path / "other.h5", layers)
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(1 << 16))
    name = "conv1d/kernel:0"
    shape = layers["conv1d"]["kernel"].shape

    def external(group: Any) -> None:
        group.create_dataset(name, shape=shape, dtype="f4", external=[(str(secret), 0, h5py.h5f.UNLIMITED)])

    def linked(group: Any) -> None:
        group[name] = h5py.ExternalLink(str(other), f"/conv1d/{name}")

    def virtual(group: Any) -> None:
        layout = h5py.VirtualLayout(shape=shape, dtype="f4")
        layout[...] = h5py.VirtualSource(str(other), f"/conv1d/{name}", shape=shape)
        group.create_virtual_dataset(name, layout)

    def huge(group: Any) -> None:
        group.create_dataset(name, shape=(10**6, 10**6, 10**3), chunks=(1, 1000, 100), dtype="f4")

    for number, change in enumerate((external, linked, virtual, huge)):
        path = borzoi.write_keras(tmp_path / f"{number}.h5", layers)
        with h5py.File(path, "a") as file:
            del file["conv1d"][name]
            change(file["conv1d"])
            file.flush()
        with pytest.raises(InputError, match=r"readable HDF5 file of Keras weights: .*(lies in this file|allocate)"):
            read_layers(path)


def _npz(path: Path, header: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("values.npy", b"\x93NUMPY\x01\x00v\x00" + header.ljust(117) + b"\n")
    return path


def test_damaged_npz_files(tmp_path: Path) -> None:
    huge = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000000,), }"
    with pytest.raises(InputError, match="not a readable npz file"):
        read_arrays(_npz(tmp_path / "huge.npz", huge))
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "whole.npz", values=np.arange(12.0).reshape(3, 4))
        whole = (tmp_path / "whole.npz").read_bytes()
        for place in range(len(whole)):
            changed = bytearray(whole)
            changed[place] ^= 0xFF
            (tmp_path / "changed.npz").write_bytes(changed)
            try:
                found = read_arrays(tmp_path / "changed.npz")
            except InputError:
                continue
            assert all(isinstance(array, np.ndarray) for array in found.values())
    with zipfile.ZipFile(tmp_path / "whole.npz", "a") as archive:
        archive.writestr("notes.txt", b"read me")
    assert list(read_arrays(tmp_path / "whole.npz")) == ["values"]
