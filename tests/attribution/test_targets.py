"""Statistics of tracks: only what they read is computed, and mirrored ones belong to the other strand."""

from __future__ import annotations

import pytest
import torch

from drg_hpc.attribution.targets import TrackStatistic, choose_tracks
from drg_hpc.attribution.views import View
from drg_hpc.errors import UsageError
from drg_hpc.models.base import HeadShape, ModelShape, SequenceModel
from drg_hpc.models.config import config_from_json
from drg_hpc.models.registry import build

MINI = {"architecture": "borzoi", "stem_channels": 8, "tower_channels": [8, 16], "depth": 1, "heads": 2, "key_size": 4,
        "position_features": 4, "final_channels": 16}  # fmt: skip


def mini() -> SequenceModel:
    torch.manual_seed(0)
    heads = (HeadShape("cage", 3, "softplus"), HeadShape("rna", 2, "log"))
    module = build(config_from_json(MINI, source="test"), ModelShape({"seq": 64}, heads, bins=4)).double().eval()
    module.tracks = ["c+", "c-", "c", "r+", "r-"]
    module.strand_partners = [1, 0, 2, 4, 3]
    torch.nn.init.normal_(module.heads[0].weight)  # type: ignore[arg-type]
    return module


def test_values_of_some_tracks_are_those_of_the_whole_model_and_little_else_is_computed() -> None:
    module, x = mini(), torch.rand(3, 4, 64, dtype=torch.float64)
    seen: list[int] = []
    module.heads[1].register_forward_hook(lambda _m, _i, out: seen.append(out.shape[1]))
    with torch.no_grad():
        whole = TrackStatistic(module, range(5), "output")([x])
        output = module(x)
        expected = torch.cat([torch.nn.functional.softplus(output[:, :3]), output[:, 3:].exp()], dim=1).sum(-1)
        torch.testing.assert_close(whole, expected)
        seen.clear()
        some = TrackStatistic(module, (2, 0), "output")([x])
    torch.testing.assert_close(some, whole[:, [2, 0]])
    assert not seen  # the other head did not run


def test_a_mirrored_statistic_reads_the_partners() -> None:
    module, x = mini(), torch.rand(2, 4, 64, dtype=torch.float64)
    statistic = TrackStatistic(module, (0, 4), "link")
    with torch.no_grad():
        torch.testing.assert_close(statistic.mirrored()([x]), TrackStatistic(module, (1, 3), "link")([x]))
    assert statistic.mirrored().names == statistic.names == ("c+", "r-")
    assert statistic.mirrored().mirrored().tracks == (0, 4)  # type: ignore[attr-defined]
    assert statistic.subset([1]).names == ("r-",)
    assert statistic.seen_by(View(shift=3)) is statistic  # of whole tracks
    assert statistic.seen_by(View(reverse=True, shift=3)).tracks == (1, 3)  # type: ignore[attr-defined]
    module.strand_partners[4] = None
    with pytest.raises(UsageError, match="lacks the track of its other strand"):
        statistic.mirrored()


def test_tracks_by_name_and_number() -> None:
    module = mini()
    assert choose_tracks(module, None, lengths=[64]) == (0, 1, 2, 3, 4)
    assert choose_tracks(module, ["r-", 0], lengths=[64]) == (4, 0)
    with pytest.raises(UsageError, match="no track 'r_'"):
        choose_tracks(module, ["r_"], lengths=[64])
