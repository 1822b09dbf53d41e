"""Groups of tracks, and statistics of several tracks through a whole run of drg-attr."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drg_hpc.bodies import attr_plan
from drg_hpc.bodies.groups import read_groups
from drg_hpc.errors import InputError, UsageError
from drg_hpc.results.reader import read_attributions
from tests.prediction.small_world import attr, make_model, write_fasta

LENGTH = 60
HEADER: dict[str, Any] = {
    "tracks": ["a", "b b", "c", "d"],
    "heads": [{"name": "atac", "tracks": 3, "link": "log"}, {"name": "rna", "tracks": 1, "link": "log"}],
}


def test_groups_of_a_table_or_the_modalities(tmp_path: Path) -> None:
    assert read_groups(None, HEADER) == ({"atac": [0, 1, 2], "rna": [3]}, {})
    one = HEADER | {"heads": [{"name": "atac", "tracks": 4, "link": "log"}]}
    assert read_groups(None, one) == ({}, {})
    path = tmp_path / "groups.tsv"
    path.write_text("# of tissues\nd\tT cells, all\nb b\tblood\na\tblood\nother\tblood\n")
    assert read_groups(path, HEADER) == ({"blood": [0, 1], "T cells, all": [3]}, {"groups": path})
    path.write_text("x\tblood\n")
    with pytest.raises(InputError, match="names none of the model's 4 tracks; a line is a track, such as 'a'"):
        read_groups(path, HEADER)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("groups")
    make_model(folder / "model", length=LENGTH, tracks=("a", "b", "c"), link="logit")
    (folder / "groups.tsv").write_text("a\tpair\nc\tpair\n")
    return folder / "model", write_fasta(folder / "x.fa", rows=70, length=LENGTH)


def projected(path: Path) -> dict[str, np.ndarray]:
    with read_attributions(path) as found:
        return {name: group["projected"][()] for name, group in found.tracks.items()}


def test_means_of_groups_are_means_of_attributions(tmp_path: Path, world: tuple[Path, Path]) -> None:
    """Gradients are linear: the gradient of a mean is the mean of the gradients."""
    model, path = world
    groups = world[0].parent / "groups.tsv"
    attr(tmp_path / "tracks", model, path, store_dtype="float32")
    attr(tmp_path / "groups", model, path, store_dtype="float32", tracks="group:pair,b", groups=groups)
    single, grouped = projected(tmp_path / "tracks"), projected(tmp_path / "groups")
    assert list(grouped) == ["group:pair", "b"]
    np.testing.assert_allclose(grouped["group:pair"], (single["a"] + single["c"]) / 2, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(grouped["b"], single["b"], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("method", ["gradient", "deepshap"])
def test_transforms(tmp_path: Path, world: tuple[Path, Path], method: str) -> None:
    model, path = world
    options: dict[str, Any] = {"store_dtype": "float32", "method": method, "limit": 10}
    if method == "deepshap":
        options |= {"references": "dinuc:3", "output": "hypothetical"}
    attr(tmp_path / "mean", model, path, transform="aggregate:over-tracks=mean:name=mean", **options)
    attr(tmp_path / "tracks", model, path, **options)
    single = projected(tmp_path / "tracks")
    np.testing.assert_allclose(
        projected(tmp_path / "mean")["mean"], sum(single.values()) / 3, rtol=1e-4, atol=1e-6
    )  # fmt: skip
    attr(tmp_path / "ratio", model, path, transform="specificity:on=b:compare=log2fc", rc_average=True, **options)
    with read_attributions(tmp_path / "ratio") as ratio, read_attributions(tmp_path / "tracks") as tracks:
        outputs = [1 / (1 + np.exp(-tracks.tracks[name]["prediction"][()])) for name in "abc"]
        expected = np.log2(outputs[1] / ((outputs[0] + outputs[2]) / 2))
        (found,) = ratio.tracks.values()
        assert ratio.attributes["params"]["target"]["scale"] == "output"
        assert list(ratio.tracks) == ["specificity:on=b:compare=log2fc"]
        assert np.corrcoef(found["prediction"][()], expected)[0, 1] > 0  # of both strands, not of this one
    user = "tests.attribution.transforms_of_a_user:one"
    attr(tmp_path / "user", model, path, transform=user, scale="link", **options)
    np.testing.assert_allclose(projected(tmp_path / "user")[user], single["a"], rtol=1e-4, atol=1e-6)


def test_what_is_refused(tmp_path: Path, world: tuple[Path, Path]) -> None:
    model, path = world
    for options, message in (
        ({"tracks": "group:pair"}, "no group 'pair'.* give --groups FILE"),
        ({"transform": "profile-shape"}, "which has no shape"),
        ({"transform": "specificity:on=b", "scale": "link"}, "ratios are of outputs"),
    ):
        with pytest.raises(UsageError, match=message):
            attr_plan.plan_shards(attr_plan.Options(model=model, input=path, out=tmp_path / "x", **options))
