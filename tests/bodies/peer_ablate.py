"""tangermeme's side of test_ablate_peers.py; runs in .venv-peers: IN.npz OUT.npz.

IN holds ``x`` (n, 4, L), ``spans`` (m, 2), for each span ``copies0`` … (n, copies, L) base codes of the sequences with
it shuffled, and the weights of the networks of peer_ism_nets.py. OUT gets, in double precision, for each of them
``NET/before`` (n, k) and ``NET/after0`` … (n, copies, k) of its ablate; and ``shuffled`` (n, copies, L), the codes that
its own shuffle makes of one sequence given n times.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent.parent))
from attribution import peer_ism_nets
from tangermeme.ablate import ablate
from tangermeme.ersatz import shuffle

warnings.simplefilter("ignore")
torch.set_num_threads(1)
given = dict(np.load(sys.argv[1]))
x = torch.from_numpy(given["x"])
found = {}
for name in given["nets"].tolist():
    net = peer_ism_nets.loaded(name, given)
    for number, (start, end) in enumerate(given["spans"].tolist()):
        copies = torch.from_numpy(np.eye(5, 4)[given[f"copies{number}"]]).transpose(2, 3)

        def as_given(X: torch.Tensor, copies: torch.Tensor = copies, **options: Any) -> torch.Tensor:
            return copies

        result = ablate(net, x, start, end, n=copies.shape[1], shuffle_fn=as_given, device="cpu")
        found[f"{name}/before"], found[f"{name}/after{number}"] = result.y_before.numpy(), result.y_after.numpy()
same = x[:1].repeat(len(x), 1, 1)
found["shuffled"] = shuffle(same, n=3, random_state=0).numpy().argmax(axis=2).astype(np.uint8)
np.savez_compressed(sys.argv[2], **found)
