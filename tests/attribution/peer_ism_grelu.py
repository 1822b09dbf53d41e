"""gReLU's side of test_peers_ism.py; runs in .venv-grelu: IN.npz OUT.npz.

IN holds ``sequences`` (letters), ``start`` and ``stop``, ``track``, and the weights of networks of peer_ism_nets.py,
which are put in the place of a LightningModel's own network, with exp after them (its loss ``poisson``). OUT gets, for
each network and compare function ``NET/FUNCTION`` (n, P, 4, k, 1) of ISM_predict, and of the first sequence and one
track the values, index and columns of its data frame.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import numpy as np
import torch

warnings.simplefilter("ignore")
torch.set_num_threads(1)
from grelu.interpret.score import ISM_predict  # noqa: E402
from grelu.lightning import LightningModel  # noqa: E402
from grelu.transforms.prediction_transforms import Aggregate  # noqa: E402

sys.path.insert(0, str(Path(__file__).parent.parent))
from attribution import peer_ism_nets  # noqa: E402

FUNCTIONS = {
    "none": None, "subtract": "subtract", "divide": "divide", "log2FC": "log2FC",
    "users": lambda mutant, reference: (mutant - reference) / (mutant + reference),
}  # fmt: skip


class Network(torch.nn.Module):
    """Takes single precision, as gReLU makes it; the rest is in double precision: (n, k, 1)."""

    def __init__(self, net: torch.nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.net(x.double())[..., None]
        return out


given = dict(np.load(sys.argv[1]))
sequences, start, stop = given["sequences"].tolist(), int(given["start"]), int(given["stop"])
found = {}
for name in given["nets"].tolist():
    model = LightningModel(
        model_params={"model_type": "ConvModel", "n_tasks": 1, "stem_channels": 2, "stem_kernel_size": 3, "n_conv": 0},
        train_params={"task": "regression", "loss": "poisson"},
    )
    model.model = Network(peer_ism_nets.loaded(name, given))
    arguments = {"start_pos": start, "end_pos": stop, "batch_size": 64, "num_workers": 0}
    for function, compare in FUNCTIONS.items():
        found[f"{name}/{function}"] = ISM_predict(sequences, model, compare_func=compare, return_df=False, **arguments)
    one = Aggregate(tasks=[int(given["track"])])
    frame = ISM_predict(sequences[0], model, prediction_transform=one, compare_func="log2FC", **arguments)
    found[f"{name}/frame"] = frame.to_numpy()
    found[f"{name}/index"], found[f"{name}/columns"] = np.array(frame.index.tolist()), np.array(frame.columns.tolist())
np.savez_compressed(sys.argv[2], **found)
