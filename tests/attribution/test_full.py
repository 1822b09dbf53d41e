"""The full engine against a plain loop over mutants."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from drg_hpc.attribution.edits import concatenated, deletions, sequence_codes, substitutions, unchanged
from drg_hpc.attribution.full import FullEvaluator
from drg_hpc.attribution.targets import Inputs, TrackStatistic
from drg_hpc.errors import InputError
from tests.attribution.ism_world import LENGTH, Net, mutants_of, predict, random_text, text_onehot


def tensor(text: str) -> torch.Tensor:
    return torch.from_numpy(text_onehot(text))[None]


def statistic(net: Net) -> TrackStatistic:
    return TrackStatistic(net, [0, 1], "link")


@pytest.mark.parametrize("batch", [1, 7, 64, 500])
def test_values_are_those_of_each_mutant_alone(batch: int) -> None:
    net, text = Net(), random_text()
    edits = substitutions(sequence_codes(text_onehot(text)), np.arange(LENGTH))
    row, found = FullEvaluator(statistic(net), batch=batch).values([tensor(text)], [], edits)
    wanted = [predict(net, mutant) for at in range(LENGTH) for _, mutant in mutants_of(text, at)]
    np.testing.assert_allclose(row.numpy(), predict(net, text), atol=1e-12)
    np.testing.assert_allclose(found.numpy(), wanted, atol=1e-12)


def test_the_other_inputs_stay_as_they_are() -> None:
    net, texts = Net((20, 31)), [random_text(20, seed=1), random_text(31, seed=2)]
    given = sequence_codes(text_onehot(texts[1]))
    edits = deletions(given, np.arange(29), 2, input=1)
    _, found = FullEvaluator(statistic(net), batch=8).values([tensor(text) for text in texts], [], edits)
    wanted = [predict(net, texts[0], texts[1][:at] + texts[1][at + 2 :] + "NN") for at in range(29)]
    np.testing.assert_allclose(found.numpy(), wanted, atol=1e-12)


def test_no_edits_give_the_row_alone() -> None:
    net, text = Net(), random_text()
    row, found = FullEvaluator(statistic(net), batch=4).values([tensor(text)], [], unchanged(0))
    np.testing.assert_allclose(row.numpy(), predict(net, text), atol=1e-12)
    assert found.shape == (0, 2)


class Offset(TrackStatistic):
    """The tracks plus a number of each row; refuses more rows than a small GPU would hold."""

    most = 3

    def __call__(self, xs: Inputs, params: Sequence[torch.Tensor] = ()) -> torch.Tensor:
        if len(xs[0]) > self.most:
            raise torch.OutOfMemoryError("out of memory")
        assert len(params[0]) == len(xs[0])
        return super().__call__(xs) + params[0][:, None]


def test_parameters_go_with_every_mutant_and_passes_shrink_with_memory(caplog: pytest.LogCaptureFixture) -> None:
    net, text = Net(), random_text()
    edits = substitutions(sequence_codes(text_onehot(text)), np.arange(LENGTH))
    evaluator = FullEvaluator(Offset(net, [0, 1], "link"), batch=16)
    with caplog.at_level(logging.WARNING):
        row, found = evaluator.values([tensor(text)], [torch.tensor([5.0])], edits)
    plain_row, plain = FullEvaluator(statistic(net), batch=16).values([tensor(text)], [], edits)
    assert evaluator.batch == 2 and caplog.text.count("out of GPU memory") == 3
    np.testing.assert_allclose(row.numpy(), plain_row.numpy() + 5, atol=1e-12)
    np.testing.assert_allclose(found.numpy(), plain.numpy() + 5, atol=1e-12)


def test_memory_that_holds_no_row_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Offset, "most", 0)
    with pytest.raises(InputError, match="does not hold one sequence"):
        FullEvaluator(Offset(Net(), [0], "link"), batch=2).values(
            [tensor(random_text())], [torch.zeros(1)], concatenated([unchanged(1)])
        )
