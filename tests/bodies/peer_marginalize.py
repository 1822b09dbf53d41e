"""tangermeme's side of test_peers_marginalize.py; runs in .venv-peers: IN.npz OUT.npz.

IN holds ``x`` (n, 4, L), the weights of the network ``basset`` of peer_ism_nets.py, ``motifs`` (texts), ``start``, and
of pairs ``left``, ``right`` (texts, one orientation each) and ``spacings`` (S,). OUT gets, in double precision,
``before`` (n, k), ``after`` (motifs, n, k) of its marginalize, ``started`` (motifs, n, k) of the same at ``start``, and
``spaced`` (pairs, n, S, k) of its space.
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

marginalize = importlib.import_module("tangermeme.marginalize").marginalize
space = importlib.import_module("tangermeme.space").space

warnings.simplefilter("ignore")
torch.set_num_threads(1)
given = dict(np.load(sys.argv[1]))
x, net = torch.from_numpy(given["x"]), peer_ism_nets.loaded("basset", given)
after, started, spaced = [], [], []
for motif in given["motifs"].tolist():
    before, found = marginalize(net, x, motif, device="cpu")
    after.append(found.numpy())
    started.append(marginalize(net, x, motif, start=int(given["start"]), device="cpu")[1].numpy())
for pair in zip(given["left"].tolist(), given["right"].tolist(), strict=True):
    spacings = torch.from_numpy(given["spacings"])[:, None]
    spaced.append(space(net, x, list(pair), spacings, device="cpu")[1].numpy())
arrays = {"after": np.stack(after), "started": np.stack(started), "spaced": np.stack(spaced)}
np.savez_compressed(sys.argv[2], before=before.numpy(), **arrays)
