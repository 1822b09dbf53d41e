"""Statistics of several tracks and bins against numpy, the reverse complement, finite differences and gReLU."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.special import logsumexp, softmax
from support import ROOT
from torch.fx.experimental.proxy_tensor import make_fx

from drg_hpc.attribution.deeplift import DeepLift
from drg_hpc.attribution.targets import Statistic
from drg_hpc.attribution.targets_make import make_statistic
from drg_hpc.attribution.transform_spec import plan_target
from drg_hpc.errors import UsageError
from tests.attribution.transform_models import Alone, Mirrored, header, sequences

GRELU = ROOT / ".venv-grelu" / "bin" / "python"
GROUPS = {"pair": (0, 1), "rest": (2, 3)}
Array = NDArray[np.float64]


def statistic(module: Any, text: str | None = None, *, tracks: str = "all", scale: Any = None) -> Statistic:
    """As a plan and a worker make it."""
    return make_statistic(
        plan_target(header(module), transform=text, tracks=tracks, scale=scale, groups=GROUPS).record(), module
    )


def link_values(module: Any) -> Array:
    """(n, T, L) on the link scale."""
    with torch.no_grad():
        found: Array = module(sequences()).numpy()
    return found if found.ndim == 3 else found[:, :, None]


def value(made: Statistic) -> Array:
    with torch.no_grad():
        found: Array = made([sequences()]).numpy()
    assert found.shape == (5, len(made.names))
    return found


def test_group_means() -> None:
    module = Mirrored()
    link = link_values(module)
    totals = logsumexp(link, axis=2)
    expected = np.stack([totals[:, :2].mean(axis=1), totals[:, 3], totals[:, 2:].mean(axis=1)], axis=1)
    made = statistic(module, tracks="group:pair,other,group:rest")
    assert made.names == ("group:pair", "other", "group:rest")
    np.testing.assert_allclose(value(made), expected, rtol=1e-12)
    outputs = np.exp(link).sum(axis=2)
    found = value(statistic(module, tracks="group:pair", scale="output"))
    np.testing.assert_allclose(found[:, 0], outputs[:, :2].mean(axis=1), rtol=1e-12)
    single = Alone(module)
    np.testing.assert_allclose(
        value(statistic(single, tracks="group:rest"))[:, 0], link_values(single)[:, 2:, 0].mean(axis=1), rtol=1e-12
    )


FUNCTIONS = {"sum": np.sum, "mean": np.mean, "min": np.min, "max": np.max}


@pytest.mark.parametrize("over_bins", [*FUNCTIONS, "none"])
@pytest.mark.parametrize("over_tracks", [*FUNCTIONS, "none"])
def test_aggregate_is_the_formula(over_bins: str, over_tracks: str) -> None:
    module = Mirrored(("log", "log", "softplus", "identity"))
    link = link_values(module)
    outputs = np.stack(
        [np.exp(link[:, 0]), np.exp(link[:, 1]), np.log1p(np.exp(link[:, 2])), link[:, 3]], axis=1
    )  # fmt: skip
    text = f"aggregate:tracks=other,both,plus:except=both:bins=1,4-7:over-bins={over_bins}:over-tracks={over_tracks}"
    expected = outputs[:, [3, 0]][:, :, [1, 4, 5, 6]]
    if over_bins != "none":
        expected = FUNCTIONS[over_bins](expected, axis=-1, keepdims=True)
    if over_tracks != "none":
        expected = FUNCTIONS[over_tracks](expected, axis=-2, keepdims=True)
    made = statistic(module, f"{text}:weight=-2.5", scale="output")
    np.testing.assert_allclose(value(made), -2.5 * expected.reshape(5, -1), rtol=1e-12)


def test_aggregate_on_the_link_scale_takes_totals_as_single_tracks_do() -> None:
    module = Mirrored(("log", "log", "softplus", "identity"))
    np.testing.assert_allclose(value(statistic(module, "aggregate")), value(statistic(module)), rtol=1e-12)
    link = link_values(module)
    found = value(statistic(module, "aggregate:tracks=plus,minus:over-bins=mean:over-tracks=sum"))
    np.testing.assert_allclose(found[:, 0], link[:, :2].mean(axis=2).sum(axis=1), rtol=1e-12)
    with pytest.raises(UsageError, match="no common link scale"):
        statistic(module, "aggregate:over-tracks=mean")
    single = Alone(Mirrored())
    np.testing.assert_allclose(
        value(statistic(single, "aggregate:over-tracks=max"))[:, 0],
        link_values(single)[:, :, 0].max(axis=1),
        rtol=1e-12,
    )


@pytest.mark.parametrize("compare", ["divide", "subtract", "log2fc"])
@pytest.mark.parametrize("threshold", [None, 5.05])
def test_specificity_is_the_formula(compare: str, threshold: float | None) -> None:
    module = Mirrored()
    outputs = np.exp(link_values(module))[:, :, 2:7].sum(axis=-1)
    on, off = outputs[:, [2]].max(axis=1), outputs[:, [0, 1, 3]].mean(axis=1)
    assert threshold is None or 0 < (off > threshold).sum() < 5, off
    off = np.where(off > threshold, 3 * off, off) if threshold else 3 * off
    expected = {"divide": on / off, "subtract": on - off, "log2fc": np.log2(on / off)}[compare]
    text = f"specificity:on=both:on-fn=max:off-weight=3:bins=2-7:compare={compare}"
    made = statistic(module, text + (f":off-threshold={threshold}" if threshold else ""), scale="output")
    np.testing.assert_allclose(value(made)[:, 0], expected, rtol=1e-12)


def shape(logits: Array) -> Array:
    return (softmax(logits, axis=-1) * (logits - logits.mean(axis=-1, keepdims=True))).sum(axis=-1)


def test_profile_shape_is_bpnets() -> None:
    module = Mirrored(("log", "softplus", "identity", "log"))
    link = link_values(module)
    logits = link.copy()
    logits[:, 1] = np.log(np.log1p(np.exp(link[:, 1])))
    np.testing.assert_allclose(value(statistic(module, "profile-shape")), shape(logits), rtol=1e-10)
    found = value(statistic(module, "profile-shape:tracks=other,plus:joint=yes:bins=1-6"))
    np.testing.assert_allclose(found[:, 0], shape(logits[:, [3, 0], 1:6].reshape(5, -1)), rtol=1e-10)
    # a total added to log rates changes nothing
    with torch.no_grad():
        before = value(statistic(module, "profile-shape:tracks=plus"))
        module.last.bias += 2.0
        np.testing.assert_allclose(value(statistic(module, "profile-shape:tracks=plus")), before, rtol=1e-10)


def test_gradients_hold_the_softmax_of_a_profile_shape_fixed() -> None:
    module = Mirrored()
    x = sequences().requires_grad_(True)
    (gradient,) = torch.autograd.grad(statistic(module, "profile-shape:tracks=both")([x]).sum(), x)
    logits = module(x)[:, 2]
    weights = torch.softmax(logits, dim=-1).detach()
    (expected,) = torch.autograd.grad((weights * (logits - logits.mean(dim=-1, keepdim=True))).sum(), x)
    torch.testing.assert_close(gradient, expected, rtol=1e-12, atol=1e-12)
    (whole,) = torch.autograd.grad((torch.softmax(module(x)[:, 2], -1) * module(x)[:, 2]).sum(), x)
    assert (gradient - whole).abs().max() > 0.1 * whole.abs().max()


EVERY = [
    None,
    "aggregate:tracks=plus,both:bins=0-3,6:over-bins=max",
    "aggregate:tracks=minus,other:bins=5-8:over-bins=none",
    "aggregate:over-tracks=mean:over-bins=mean:bins=1",
    "specificity:on=plus:off=minus,both:bins=0-4",
    "specificity:on=minus:compare=log2fc:over-bins=none:bins=0,3",
    "specificity:on=plus:compare=subtract:off-threshold=.1:off-weight=.5",
    "profile-shape:bins=0-5",
    "profile-shape:tracks=plus,other:joint=yes",
    "tests.attribution.transforms_of_a_user:last_bins:count=3:values=x,y",
]


@pytest.mark.parametrize("text", EVERY)
def test_mirrored_is_the_same_of_the_reverse_complement(text: str | None) -> None:
    module, x = Mirrored(), sequences()
    made = statistic(module, text, tracks="group:pair,plus" if text is None else "all")
    turned = made.mirrored()
    assert turned.names == made.names
    there, back = made([x]), turned([x.flip(1, 2)])
    torch.testing.assert_close(there, back, rtol=1e-10, atol=1e-12)
    assert not torch.allclose(there, made([x.flip(1, 2)]), rtol=1e-3)
    torch.testing.assert_close(turned.mirrored()([x]), there)
    last = len(made.names) - 1
    torch.testing.assert_close(turned.subset([last, 0]).subset([1, 0])([x.flip(1, 2)]), there[:, [0, last]])
    assert made.subset([last]).names == (made.names[last],)


@pytest.mark.parametrize("text", [text for text in EVERY if "profile-shape" not in str(text)])  # see above
def test_gradients_are_finite_differences(text: str | None) -> None:
    made = statistic(Mirrored(), text, tracks="group:pair,plus" if text is None else "all")
    x, step = sequences(2), 1e-6
    for k in range(len(made.names)):
        leaf = x.clone().requires_grad_(True)
        (gradient,) = torch.autograd.grad(made([leaf])[:, k].sum(), leaf)
        for place in ((0, 0, 3), (0, 2, 20), (1, 3, 37)):
            up, down = x.clone(), x.clone()
            up[place] += step
            down[place] -= step
            difference = (made([up])[place[0], k] - made([down])[place[0], k]) / (2 * step)
            torch.testing.assert_close(gradient[place], difference, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("text", EVERY)
def test_other_sequences_through_a_trace(text: str | None) -> None:
    """DeepLIFT works on a trace at one batch: no control flow by values, no constants of the traced rows."""
    made = statistic(Mirrored(), text, tracks="group:pair,plus" if text is None else "all").mirrored()
    traced = make_fx(lambda x: made([x]))(sequences())
    other = sequences().flip(0, 2)
    torch.testing.assert_close(traced(other), made([other]))


@pytest.mark.parametrize("text", EVERY)
def test_deeplift_is_complete(text: str | None) -> None:
    """Of each statistic, of a profile's shape too: there the softmax is a factor like the other."""
    made = statistic(Mirrored(), text, tracks="group:pair,plus" if text is None else "all").mirrored()
    x = sequences(3)
    references = torch.stack([x.roll(1, 0), x.roll(1, 2), torch.full_like(x, 0.25)], dim=1)
    pairs = DeepLift(lambda xs, params: made(xs), [x], []).pairs([x], [references], [])
    torch.testing.assert_close(pairs.values, made([x]))
    largest = (pairs.values[:, None] - pairs.reference_values).abs().max()
    for k in range(len(made.names)):
        weights = torch.zeros(len(made.names)).double()
        weights[k] = 1.0
        (multipliers,) = pairs.multipliers(weights)
        sums = (multipliers * (x[:, None] - references)).sum((2, 3))
        differences = pairs.values[:, None, k] - pairs.reference_values[:, :, k]
        assert (sums - differences).abs().max() < 1e-9 * largest


def test_a_track_without_its_partner_is_refused() -> None:
    module = Mirrored()
    module.strand_partners[0] = None
    made = statistic(module, "aggregate:tracks=plus")
    with pytest.raises(UsageError, match="no average over strands for track 'plus'"):
        made.mirrored()
    statistic(module, "aggregate:tracks=minus").mirrored()


USER = "tests.attribution.transforms_of_a_user"


def test_a_users_transform() -> None:
    module = Mirrored()
    outputs = np.exp(link_values(module))
    found = value(statistic(module, f"{USER}:last_bins:count=3:values=x,y"))
    np.testing.assert_allclose(found, outputs[:, :2, -3:].sum(axis=-1) * [1, 2], rtol=1e-12)
    found = value(statistic(module, f"{USER}:one", scale="link"))
    np.testing.assert_allclose(found[:, 0], link_values(module)[:, 0, 0], rtol=1e-12)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{USER}:absent", "transform factory '.*:absent': .* has no 'absent'"),
        (
            f"{USER}:last_bins:cuont=3:values=x,y",
            "cannot be called like that: .*'count'; it gets the model, then the keys",
        ),
        (f"{USER}:no_module", "returned a float, not a torch.nn.Module"),
        (f"{USER}:breaks", "failed: ZeroDivisionError"),
        ("nowhere_at_all:make", "transform factory 'nowhere_at_all:make': there is no module"),
    ],
)
def test_wrong_factories(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        statistic(Mirrored(), text)


def test_wrong_modules_of_a_user() -> None:
    with pytest.raises(UsageError, match=r"gives \(5, 2\) for \(5, 4, 8\), \(5, 1\) is needed; name its values"):
        value(statistic(Mirrored(), f"{USER}:last_bins:count=3"))
    with pytest.raises(UsageError, match=r"failed on \(5, 4, 8\): RuntimeError"):
        value(statistic(Mirrored(), f"{USER}:last_bins:count=3:tracks=9:values=x,y"))


GRELU_CASES = [
    ("aggregate:tracks=plus,both:bins=1,4-7:over-bins=mean:over-tracks=max:weight=2",
     "Aggregate(tasks=[0, 2], positions=[1, 4, 5, 6], length_aggfunc='mean', task_aggfunc='max', weight=2)"),
    ("aggregate:except=minus:over-bins=min",
     "Aggregate(except_tasks=[1], length_aggfunc='min')"),
    ("aggregate:over-bins=none:over-tracks=sum", "Aggregate(task_aggfunc='sum')"),
    ("specificity:on=plus:off=minus,both,other", "Specificity(on_tasks=[0], off_tasks=[1, 2, 3])"),
    ("specificity:on=plus,both:off=minus,both:compare=subtract:off-weight=3:off-threshold=5:off-fn=max:on-fn=min",
     "Specificity(on_tasks=[0, 2], off_tasks=[1, 2], compare_func='subtract', off_weight=3., off_thresh=5., "
     "off_aggfunc='max', on_aggfunc='min')"),
    ("specificity:on=other:off=minus,both:compare=log2fc:over-bins=mean:bins=0-4",
     "Specificity(on_tasks=[3], off_tasks=[1, 2], compare_func='log2FC', length_aggfunc='mean', "
     "positions=[0, 1, 2, 3])"),
]  # fmt: skip
GRELU_SCRIPT = """
import sys
import numpy as np
import torch
from grelu.transforms.prediction_transforms import Aggregate, Specificity
predictions = torch.tensor(np.load(sys.argv[1])["predictions"], requires_grad=True)
found = {{}}
for number, make in enumerate({cases!r}):
    value = eval(make)(predictions * 1.0)
    found[f"value{{number}}"] = value.detach().numpy()
    (gradient,) = torch.autograd.grad(value.sum(), predictions)
    found[f"gradient{{number}}"] = gradient.numpy()
np.savez(sys.argv[2], **found)
"""


class Given(torch.nn.Module):
    """Predictions that are there, with the links of :class:`Mirrored`'s outputs taken."""

    def __init__(self, values: Array) -> None:
        super().__init__()
        self.values = torch.tensor(values, requires_grad=True)
        self.tracks, self.strand_partners, self.bins = ["plus", "minus", "both", "other"], [0, 1, 2, 3], 8
        self.links = ["identity"] * 4

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.values


def test_grelus_transforms(tmp_path: Path) -> None:
    if not GRELU.is_file():
        pytest.skip("no .venv-grelu with gReLU")
    predictions = np.exp(link_values(Mirrored()))
    np.savez(tmp_path / "in.npz", predictions=predictions)
    script = GRELU_SCRIPT.format(cases=[make for _, make in GRELU_CASES])
    subprocess.run([GRELU, "-c", script, tmp_path / "in.npz", tmp_path / "out.npz"], check=True, timeout=300)
    found = np.load(tmp_path / "out.npz")
    for number, (text, _) in enumerate(GRELU_CASES):
        module = Given(predictions)
        made = statistic(module, text, scale="output")([sequences()])
        np.testing.assert_allclose(made.detach().numpy(), found[f"value{number}"].reshape(5, -1), rtol=1e-12)
        (gradient,) = torch.autograd.grad(made.sum(), module.values)
        np.testing.assert_allclose(gradient.numpy(), found[f"gradient{number}"], rtol=1e-12, atol=1e-15)
