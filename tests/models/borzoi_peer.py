"""borzoi-pytorch's own output for the weights of borzoi_weights.py; run by a Python that has it: KIND OUT.npz."""

from __future__ import annotations

import sys

import numpy as np
import torch
from borzoi_weights import SIZES, STEP, sequences, weights


def main(kind: str, out: str) -> None:
    from borzoi_pytorch.pytorch_borzoi_model import Borzoi, BorzoiConfig, Prime, PrimeConfig

    model_class, config_class = {"borzoi": (Borzoi, BorzoiConfig), "prime": (Prime, PrimeConfig)}[kind]
    model = model_class(config_class(**SIZES[kind], enable_mouse_head=True)).eval()
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    model.load_state_dict({name: torch.from_numpy(value) for name, value in weights(shapes).items()})
    x = torch.from_numpy(sequences()).requires_grad_()
    human = model(x)
    (gradient,) = torch.autograd.grad(human[0, 7].sum(), x)
    with torch.no_grad():
        mouse = model(x, is_human=False)
    arrays = {"human": human.detach()[:, ::STEP], "mouse": mouse[:, ::STEP], "gradient": gradient[:1]}
    np.savez_compressed(
        out,
        names=np.array(list(shapes)),
        shapes=np.array([",".join(map(str, shape)) for shape in shapes.values()]),
        **{name: value.numpy() for name, value in arrays.items()},
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
