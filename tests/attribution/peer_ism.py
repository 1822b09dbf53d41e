"""tangermeme's side of test_peers_ism.py; runs in .venv-peers: IN.npz OUT.npz.

IN holds ``x`` (n, 4, L) and the weights of the networks of peer_ism_nets.py. OUT gets, in double precision, for each
``NET/y0`` (n, k), ``NET/y`` (n, 4, L, k) and ``NET/attributions`` (n, 4, L) of its saturation_mutagenesis, and of some
positions in the middle ``NET/part`` (n, 4, stop - start, k).
"""

from __future__ import annotations

import importlib
import sys
import warnings
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent.parent))
from attribution import peer_ism_nets

saturation_mutagenesis = importlib.import_module("tangermeme.saturation_mutagenesis").saturation_mutagenesis

warnings.simplefilter("ignore")
torch.set_num_threads(1)
given = dict(np.load(sys.argv[1]))
x, part = torch.from_numpy(given["x"]), given["part"].tolist()
found = {}
for name in peer_ism_nets.NETS:
    net = peer_ism_nets.loaded(name, given)
    y0, y = saturation_mutagenesis(net, x, raw_outputs=True, device="cpu", fast=False)
    found[f"{name}/y0"], found[f"{name}/y"] = y0.numpy(), y.numpy()
    found[f"{name}/attributions"] = saturation_mutagenesis(net, x, hypothetical=True, device="cpu", fast=False).numpy()
    _, y = saturation_mutagenesis(net, x, start=part[0], end=part[1], raw_outputs=True, device="cpu", fast=False)
    found[f"{name}/part"] = y.numpy()
np.savez_compressed(sys.argv[2], **found)
