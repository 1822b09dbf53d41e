"""gReLU's side of test_attention_grelu.py; runs in .venv-grelu: IN.npz OUT.npz.

IN holds ``sequences`` (letters), ``track`` and the weights of a small BorzoiModel under their names there, ``sizes`` of
it as JSON. OUT gets its prediction, attention scores and attributions.
"""

from __future__ import annotations

import json
import sys
import warnings

import numpy as np
import torch

warnings.simplefilter("ignore")
torch.set_num_threads(1)
from grelu.interpret.score import get_attention_scores, get_attributions  # noqa: E402
from grelu.lightning import LightningModel  # noqa: E402
from grelu.sequence.format import convert_input_type  # noqa: E402
from grelu.transforms.prediction_transforms import Aggregate  # noqa: E402

given = np.load(sys.argv[1])
sizes = json.loads(str(given["sizes"]))
model = LightningModel(
    model_params={"model_type": "BorzoiModel", "crop_len": 0, "final_pool_func": None, **sizes},
    train_params={"task": "regression", "loss": "mse"},
)
state = {name: torch.from_numpy(given[name]) for name in model.state_dict()}
model.load_state_dict(state)
# In double precision from the first layer on; gReLU's functions take and give single precision.
model.double().eval()
model.model.embedding.conv_tower.register_forward_pre_hook(lambda _layer, inputs: (inputs[0].double(),))
x = convert_input_type(given["sequences"].tolist(), "one_hot")
total = Aggregate(tasks=[int(given["track"])], length_aggfunc="sum")


def attributions(method: str, **arguments: bool) -> np.ndarray:
    return get_attributions(model, x, prediction_transform=total, method=method, **arguments)


with torch.no_grad():
    found = {"prediction": model(x).numpy()}
found |= {
    "attention": get_attention_scores(model, x[0]),
    "attention_of_all": get_attention_scores(model, x),
    "attention_of_block_1": get_attention_scores(model, x[1], block_idx=1),
    "saliency": attributions("saliency"),
    "corrected": attributions("saliency", correct_grad=True),
    "inputxgradient": attributions("inputxgradient"),
    "integratedgradients": attributions("integratedgradients"),
}
np.savez_compressed(sys.argv[2], **found)
