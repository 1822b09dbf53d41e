"""tangermeme's side of test_peers_deepshap.py; runs in .venv-peers: IN.npz OUT.npz.

IN holds ``x`` (n, 4, L), ``references`` (n, R, 4, L) and ``NET/PARAMETER`` of networks of peer_nets.py. OUT gets
``NET/raw/TRACK`` (n, R, 4, L) and ``NET/hypothetical/TRACK`` (n, 4, L) in double precision.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import numpy as np
import torch
from tangermeme.deep_lift_shap import BilinearOp, deep_lift_shap

sys.path.insert(0, str(Path(__file__).parent))
import peer_nets

warnings.simplefilter("ignore")
torch.set_num_threads(1)
given = dict(np.load(sys.argv[1]))
x, references = (torch.from_numpy(given[key]) for key in ("x", "references"))
found = {}
for name in peer_nets.NETS:
    net = peer_nets.make(name, BilinearOp, by_pool=True, seed=0)
    arrays = {key.split("/", 1)[1]: value for key, value in given.items() if key.startswith(f"{name}/")}
    peer_nets.load(net, arrays)
    for track in range(peer_nets.TRACKS):
        for kind in ("raw", "hypothetical"):
            values = deep_lift_shap(
                net, x, references=references, target=track, device="cpu", hypothetical=True, raw_outputs=kind == "raw"
            )
            found[f"{name}/{kind}/{track}"] = values.numpy()
np.savez_compressed(sys.argv[2], **found)
