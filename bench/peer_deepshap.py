"""tangermeme's side of bench/attr_deepshap.py; runs in .venv-peers: IN.npz OUT.npz.

The network of examples/calderon from modules whose rules tangermeme knows: strand maxima as a pooling over neighbours,
the weighted pooling's product as BilinearOp. For every line ``ROWS TRACK BATCH`` on standard input, seconds of
deep_lift_shap for the first ROWS sequences, as a line of JSON; OUT.npz holds the last answer.
"""

from __future__ import annotations

import json
import sys
import time
import warnings

import numpy as np
import torch
from tangermeme.deep_lift_shap import BilinearOp, deep_lift_shap
from torch import nn
from torch.nn import functional

PAD, WINDOW, SIDE, FLOOR = 10, 81, 33, -0.16997120747990369


class Calderon(nn.Module):
    """The same function of (n, 4, 401) as the imported model."""

    def __init__(self, kernels: torch.Tensor, head: torch.Tensor, bias: torch.Tensor) -> None:
        super().__init__()
        self.kernels = nn.Parameter(torch.cat([kernels, kernels.flip(1, 2)]))
        self.strands, self.gelu, self.softmax = nn.MaxPool1d(2), nn.GELU(), nn.Softmax(dim=-1)
        self.product = BilinearOp("...,...->...")
        self.head = nn.Linear(*head.T.shape)
        self.head.weight, self.head.bias = nn.Parameter(head), nn.Parameter(bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.conv1d(functional.pad(x, (PAD, PAD), value=0.25), self.kernels, padding=7)
        x = torch.stack(x.chunk(2, dim=1), dim=-1).flatten(2)
        x = functional.pad(self.gelu(self.strands(x)), (SIDE, SIDE), value=FLOOR)
        count = x.shape[-1] // WINDOW
        windows = x[..., : count * WINDOW].reshape(*x.shape[:2], count, WINDOW)
        out: torch.Tensor = self.head(self.product(windows, self.softmax(windows)).sum(-1).flatten(1))
        return out


warnings.simplefilter("ignore")
torch.set_num_threads(1)
given = {key: torch.from_numpy(value) for key, value in np.load(sys.argv[1]).items()}
model = Calderon(given["kernels"], given["head"], given["bias"]).eval()
print(json.dumps("ready"), flush=True)
for line in sys.stdin:
    rows, track, batch = map(int, line.split())
    started = time.perf_counter()
    values = deep_lift_shap(
        model, given["x"][:rows], references=given["references"][:rows], target=track, batch_size=batch,
        hypothetical=True, device="cpu",
    )  # fmt: skip
    seconds = time.perf_counter() - started
    np.savez(sys.argv[2], hypothetical=values.numpy())
    print(json.dumps(seconds), flush=True)
