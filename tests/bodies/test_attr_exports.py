"""drg-attr --export on regions of real sequence: files of other programs agree with out.h5 and with the genome."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyBigWig
import pytest
import torch
from stores import WINDOWS, shard

from drg_hpc.cli.export import ExportOptions, _action
from drg_hpc.errors import UsageError
from drg_hpc.files import sha256_file, walk_files
from drg_hpc.models.base import HeadShape, ModelShape
from drg_hpc.models.config import config_from_json
from drg_hpc.models.io import save_model
from drg_hpc.models.registry import build
from drg_hpc.results.reader import read_attributions
from drg_hpc.store.reader import open_store
from tests.prediction.small_world import attr, make_model, write_fasta

LENGTH = 120


@pytest.fixture(scope="module")
def genome(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shard("genome", tmp_path_factory.mktemp("genome") / "store", fasta=[WINDOWS / "genome.fa.gz"])


def write_bed(path: Path) -> Path:
    """70 regions of three contigs on both strands, some overlapping, one off the genome's contigs."""
    rows = [(f"w0{i % 3}", 1000 + 37 * i, 1100 + 37 * i, f"r{i}", 0, "+-"[i % 2]) for i in range(70)]
    rows[5] = ("chrUn", *rows[5][1:])
    path.write_text("".join("\t".join(map(str, row)) + "\n" for row in rows))
    return path


def test_regions_of_a_genome(tmp_path: Path, genome: Path) -> None:
    make_model(tmp_path / "model", length=LENGTH)
    options: dict[str, Any] = {
        "genome": genome, "regions": str(write_bed(tmp_path / "r.bed")), "stranded": True, "tracks": "b",
        "store_dtype": "float32", "export": "bigwig,bed,modisco,finemo,drg",
    }  # fmt: skip
    for shards in (1, 2):
        done = attr(tmp_path / str(shards), tmp_path / "model", None, shards=shards, **options)
        assert set(done["outputs"]) == {"out.h5", "export"}
    names = walk_files(tmp_path / "1" / "export")
    assert names and names == walk_files(tmp_path / "2" / "export")
    for name in names:
        assert sha256_file(tmp_path / "1/export" / name) == sha256_file(tmp_path / "2/export" / name)
    with read_attributions(tmp_path / "1") as found:
        assert found.kept.tolist() == [i != 5 for i in range(70)] and np.isnan(found.tracks["b"]["projected"][5]).all()
        regions, projected = found.regions, found.projected("b")
    sums, counts = np.zeros((3, 5000)), np.zeros((3, 5000))
    for i, region in regions.drop(5).iterrows():
        here = (int(region["chrom"][2]), slice(region["start"], region["end"]))
        sums[here] += projected[i, ::-1] if region["strand"] == "-" else projected[i]
        counts[here] += 1
    (wig,) = (tmp_path / "1/export/bigwig").iterdir()
    with pyBigWig.open(str(wig)) as handle, np.errstate(invalid="ignore"):
        assert list(handle.chroms()) == list(open_store(genome).contigs)
        for contig in range(3):
            expected = sums[contig] / counts[contig]
            np.testing.assert_allclose(handle.values(f"w0{contig}", 0, 5000), expected, rtol=1e-5, atol=1e-9)
    arguments = {"path": tmp_path / "1", "format": "bigwig", "tracks": "b", "genome": genome, "out": tmp_path / "x.bw"}
    _action(ExportOptions.model_validate(arguments))
    assert (tmp_path / "x.bw").read_bytes() == wig.read_bytes()
    with np.load(next((tmp_path / "1/export/finemo").iterdir())) as arrays:
        store = open_store(genome)
        for chrom, start, onehot in zip(arrays["chr"], arrays["start"], arrays["sequences"], strict=True):
            np.testing.assert_array_equal(onehot.T, store.onehot(str(chrom), int(start), int(start) + LENGTH))


def test_several_inputs_lie_where_their_own_regions_do(tmp_path: Path, genome: Path) -> None:
    values = {"architecture": "multi-input", "trunk": {"kernels": 4, "kernel_size": 5, "pool_size": 4}, "embedding": 6}
    config = config_from_json(values, source="test")
    torch.manual_seed(0)
    shape = ModelShape({"far": 36, "near": LENGTH}, (HeadShape("main", 2),))
    save_model(build(config, shape).eval(), tmp_path / "model", config, ["t0", "t1"])
    (tmp_path / "near.bed").write_text("w01\t1000\t1200\ta\nw03\t500\t600\tc\n")
    (tmp_path / "far.bed").write_text("w05\t5000\t5100\tc\nw06\t6000\t6100\ta\n")
    regions = f"near={tmp_path / 'near.bed'},far={tmp_path / 'far.bed'}"
    attr(tmp_path / "run", tmp_path / "model", None, genome=genome, regions=regions, export="bed,bigwig,finemo")
    store = open_store(genome)
    for name, contigs in {"near": ["w03", "w01"], "far": ["w05", "w06"]}.items():
        with read_attributions(tmp_path / "run", name) as found:
            assert found.regions["chrom"].tolist() == contigs
            for i, region in found.regions.iterrows():
                expected = store.onehot(region["chrom"], region["start"], region["end"]).T
                np.testing.assert_array_equal(found.sequences[i], expected)
        lines = (tmp_path / "run/export/inputs" / name / "regions.bed").read_text().splitlines()
        assert sorted(line.split("\t")[0] for line in lines) == sorted(contigs)
        assert len(list((tmp_path / "run/export/inputs" / name / "bigwig").iterdir())) == 2


def test_sequences_without_a_genome(tmp_path: Path) -> None:
    make_model(tmp_path / "model", length=LENGTH)
    fasta = write_fasta(tmp_path / "x.fa", rows=10, length=LENGTH)
    with pytest.raises(UsageError, match=r"--export bigwig needs the lengths of contigs.*drg-export"):
        attr(tmp_path / "run", tmp_path / "model", fasta, export="bigwig")
    done = attr(tmp_path / "run", tmp_path / "model", fasta, export="bed,finemo")
    assert done["summary"]["exports"]["bed"]["regions"] == 10
