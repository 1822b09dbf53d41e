"""tangermeme's side of bench/ablate; runs in .venv-peers: IN.npz.

IN has ``x`` (n, 4, L), ``net`` and the weights as for bench/peer_ism.py, whose networks these are. The first line on
standard output has versions and the values of the sequences. For every line of JSON on standard input,
``{"starts", "width", "copies", "batch"}``, a line with the CPU seconds of one thread per copy: ablate of each window of
all sequences at once.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import sys
import time
import warnings

import numpy as np
import torch
from peer_ism import build

ablate = importlib.import_module("tangermeme.ablate").ablate  # the package has a function of the same name


def main() -> None:
    """Answer until the input ends."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    given = dict(np.load(sys.argv[1]))
    model, _ = build(given)
    x = torch.from_numpy(given["x"])
    with torch.no_grad():
        values = model(x).numpy().tolist()
    versions = {"torch": torch.__version__, "tangermeme": importlib.metadata.version("tangermeme")}
    print(json.dumps({"versions": versions, "values": values}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        started = time.process_time()
        for start in asked["starts"]:
            ablate(model, x, start, start + asked["width"], n=asked["copies"], batch_size=asked["batch"], device="cpu",
                   random_state=start)  # fmt: skip
        copies = len(asked["starts"]) * asked["copies"] * len(x)
        print(json.dumps((time.process_time() - started) / copies), flush=True)


if __name__ == "__main__":
    main()
