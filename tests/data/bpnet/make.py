"""Random networks of bpnet-lite and what they predict: FOLDER SEED. Runs where bpnet-lite is installed.

Writes a state_dict per network, ``whole.torch`` with a whole module as bpnet-lite's training saves it, and
reference.npz: codes (rows, length), and for each network its profile logits, counts, and the gradient of the summed
counts.
"""

from __future__ import annotations

import sys
from pathlib import Path

import bpnetlite
import numpy as np
import torch
from bpnetlite.bpnet import BasePairNet, BPNet, ControlWrapper
from bpnetlite.chrombpnet import ChromBPNet

ROWS, LENGTH = 4, 256


def networks() -> dict[str, torch.nn.Module]:
    """Fresh networks, one of each kind of file."""
    small = {"n_filters": 5, "verbose": False}
    bias = BPNet(n_layers=2, n_outputs=1, n_control_tracks=0, **small)
    return {
        "unstranded": BPNet(n_layers=3, n_outputs=1, n_control_tracks=0, **small),
        "stranded": BPNet(
            n_layers=3, n_control_tracks=0, trimming=70, profile_output_bias=False, count_output_bias=False, **small
        ),
        "untrimmed": BPNet(n_layers=2, n_outputs=1, n_control_tracks=0, trimming=0, **small),
        "control": BPNet(n_layers=3, n_control_tracks=2, **small),
        "basepairnet": BasePairNet(n_layers=4, n_control_tracks=2, count_output_bias=False, **small),
        "chrombpnet": ChromBPNet(bias, BPNet(n_layers=3, n_outputs=1, n_control_tracks=0, **small)),
    }


def main() -> None:
    """Write everything."""
    folder, seed = Path(sys.argv[1]), int(sys.argv[2])
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    codes = np.random.default_rng(seed).integers(0, 4, (ROWS, LENGTH)).astype(np.int8)
    onehot = np.eye(4, dtype=np.float32)[codes].transpose(0, 2, 1)
    found: dict[str, np.ndarray] = {"codes": codes, "version": np.array(bpnetlite.__version__)}
    for name, network in networks().items():
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.mul_(1.6)  # else the profiles are almost flat
        network.eval()
        x = torch.tensor(onehot, requires_grad=True)
        wrapped = network if name == "chrombpnet" else ControlWrapper(network)
        profile, counts = wrapped(x)
        counts.sum().backward()
        found |= {
            f"{name}.profile": profile.detach().numpy(),
            f"{name}.counts": counts.detach().numpy(),
            f"{name}.gradient": x.grad.numpy(),
        }
        torch.save(network.state_dict(), folder / f"{name}.pt")
    torch.save(network.accessibility, folder / "whole.torch")
    torch.save(network.accessibility.state_dict(), folder / "accessibility.pt")
    torch.save(network.bias.state_dict(), folder / "bias.pt")
    np.savez_compressed(folder / "reference.npz", **found)


if __name__ == "__main__":
    main()
