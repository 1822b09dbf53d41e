"""What a run of drg-perturb works on: rows, motifs, tests, values and cost, settled in the plan. Light."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from drg_hpc.attribution.cost import PASS_BYTES, Work
from drg_hpc.bodies.ism_cost import CPU_MACS
from drg_hpc.bodies.model_values import plan_model_values, read_models
from drg_hpc.bodies.perturb_options import Options
from drg_hpc.bodies.perturb_sites import (
    BACKGROUND,
    BED,
    OF_SCAN,
    SCAN,
    SITES,
    background_of,
    excluded_gaps,
    find_source,
    lines_of,
    require_width,
)
from drg_hpc.bodies.selected import Selection
from drg_hpc.bodies.selection import ROW_TABLE_BYTES, select_input, worker_base
from drg_hpc.bodies.value_rows import batch_size
from drg_hpc.config import changed, nearest
from drg_hpc.digests import describe_input
from drg_hpc.errors import UsageError
from drg_hpc.experiments.perturb_tests import ASKED, EFFECTS, Effect, Kind, Test, list_tests
from drg_hpc.models.header import track_links
from drg_hpc.runs.outputs import check_recorded
from drg_hpc.runs.spec import BLOCK_ROWS, Estimate, RunSpec, Stage, block_shards
from drg_hpc.store.header import read_header

Header = Mapping[str, Any]
_SHARD_S = 300.0
_LARGEST_SHARD = 1 << 16
_PASS_ROWS = {"cpu": 64, "cuda": 1024}
"""Sequences of a pass at most, by kind of device."""


def settle(options: Options) -> RunSpec:
    """See :func:`drg_hpc.bodies.perturb_plan.plan_shards`."""
    batch = batch_size(options)
    models = read_models(options.model, why="sites are of one", fix="test a model of one input")
    header, length = models.header, models.length
    kinds = _kinds(options.tests)
    source = find_source(options)
    require_width(source, length)
    background, fasta = background_of(options, source)
    excluded, of = excluded_gaps(options, source, length=length, distance="distance" in kinds)
    tests = _tests(source.motifs, kinds, excluded=excluded, of=of)
    _refuse_unused(options, tests)
    chosen = select_input(options, header)
    if source.kind == BED and chosen.regions is not None:
        lines_of(source.file, source.motifs).count_within(chosen.regions, length=length)
    values = plan_model_values(options, models, scale=options.scale)
    effects, more = _effects(options, chosen, values.target, header)
    params = {
        **chosen.params,
        "length": length,
        "sites": source.kind,
        "motifs": source.motifs,
        "tests": [test.as_params() for test in tests],
        "copies": options.num_perturbs,
        "background": background.as_params(),
        "scan": {name: getattr(options, name) for name in OF_SCAN} if source.kind == SCAN else None,
        "effects": list(effects),
        "target": values.target,
        "rc_average": options.rc_average,
        "shifts": list(values.shifts),
        "seed": options.seed,
        "batch": batch,
    }
    files = {SITES: describe_input(source.file)}
    check_recorded(source.file, sha256=files[SITES]["sha256"])
    files |= {} if fasta is None else {BACKGROUND: describe_input(fasta)}
    inputs = values.files | chosen.records | files
    told = f"{len(tests)} tests of {', '.join(source.motifs)}; sites: {source.kind}"
    notes = (*chosen.notes, *values.notes, *more, told)
    return _spec(options, params, inputs, chosen, models.headers, values.work, tests, notes=notes)


def _kinds(text: str) -> list[Kind]:
    """The tests asked for; errors as :func:`_names`."""
    asked = _names(text, ASKED, flag="--tests", kind="test")
    return [kind for kind in ASKED if kind in asked]


def _names(text: str, known: Sequence[str], *, flag: str, kind: str) -> list[str]:
    """Names separated by commas.

    Raises
    ------
    UsageError : none, or one that is not known
    """
    asked = [name.strip() for name in text.split(",") if name.strip()]
    for name in asked:
        if name not in known:
            raise UsageError(f"{flag}: no {kind} {name!r}", fix=nearest(name, known))
    if not asked:
        raise UsageError(f"{flag}: none", fix=f"known: {', '.join(known)}")
    return asked


def _tests(motifs: Sequence[str], kinds: Sequence[Kind], **gaps: Any) -> list[Test]:
    """All tests.

    Raises
    ------
    UsageError : tests of pairs alone, and one motif
    """
    found = list_tests(motifs, kinds, **gaps)
    if not found:
        raise UsageError(f"{', '.join(kinds)}: of pairs, and there is one motif, {motifs[0]}",
                         fix="name two --motifs, or add presence to --tests")  # fmt: skip
    return found


def _refuse_unused(options: Options, tests: Sequence[Test]) -> None:
    """An option that none of the tests makes use of is a mistake.

    Raises
    ------
    UsageError : which
    """
    changes = {part.change for test in tests for part in test.parts}
    kinds = ", ".join(dict.fromkeys(test.kind for test in tests if test.kind != "shift"))
    uses = {"num_perturbs": changes != {"swap"}, "background_dist": "replace" in changes}
    for name in changed(options, uses):
        if not uses[name]:
            raise UsageError(f"--{name.replace('_', '-')} has no use with --tests {kinds}", fix="leave it out")


def _effects(
    options: Options, chosen: Selection, target: Mapping[str, Any], header: Header
) -> tuple[tuple[Effect, ...], tuple[str, ...]]:
    """The effects that are computed, and a note where they are not losses.

    Raises
    ------
    UsageError : no such effect, or one that needs labels or logits which are not there
    """
    why = _no_labels(options, chosen, target, header)
    if options.effects is None:
        return (("loss", "logit"), ()) if why is None else (("value",), (f"effects are changes of the value: {why}",))
    asked = _names(options.effects, EFFECTS, flag="--effects", kind="effect")
    if why is not None and (labelled := [name for name in asked if name != "value"]):
        raise UsageError(f"--effects {labelled[0]}: {why}", fix="--effects value")
    return tuple(name for name in EFFECTS if name in asked), ()


def _no_labels(options: Options, chosen: Selection, target: Mapping[str, Any], header: Header) -> str | None:
    """Why there is no loss of labels; None where there is."""
    if target["kind"] != "tracks" or target["scale"] != "link":
        return "what is tested are not the model's tracks on the link scale"
    links = track_links(header)
    other = next((number for number in target["tracks"] if links[number] != "logit"), None)
    if other is not None or header["bins"]:
        return f"track {header['tracks'][other or 0]} is no logit of yes or no"
    if chosen.kind != "store":
        return "only a dataset store has labels"
    assert options.input is not None
    known = read_header(options.input)["tracks"]
    missing = next((name for name in header["tracks"] if name not in known), None)
    return None if missing is None else f"the store has no track {missing}"


def _spec(
    options: Options, params: dict[str, Any], inputs: dict[str, Any], chosen: Selection, headers: Sequence[Header],
    work: Work, tests: Sequence[Test], *, notes: tuple[str, ...],
) -> RunSpec:  # fmt: skip
    rows, values, copies = params["rows"], work.values, options.num_perturbs
    parts = {part for test in tests for part in test.parts}
    of_row = 1 + sum(1 if part.change == "swap" else copies for part in parts)
    row_s = max(1e-6, of_row * work.views * work.models * work.macs / CPU_MACS)
    default = max(BLOCK_ROWS, int(_SHARD_S / row_s) // BLOCK_ROWS * BLOCK_ROWS)
    shards = block_shards(
        rows, shards=options.shards, shard_size=options.shard_size, default_size=min(default, _LARGEST_SHARD)
    )
    sizes = {kind: options.batch_size or _pass_rows(work, kind) for kind in PASS_BYTES}
    row = ROW_TABLE_BYTES + len(tests) * (1 + 8 * values * len(params["effects"]))
    block = BLOCK_ROWS * of_row * (2 * params["length"] + 8 * values * work.models)
    return RunSpec(
        command="perturb",
        params=params,
        inputs=inputs,
        stages=(Stage("perturb", shards),),
        threads=options.threads,
        estimate=Estimate(
            bytes=2 * rows * row + (1 << 20),
            files=2 * len(shards) + 10,
            memory=worker_base(headers) + chosen.memory + sizes["cpu"] * work.row_bytes + block
            + 2 * max(shard.rows for shard in shards) * row + 24 * rows * values,
        ),
        notes=notes,
        aside={**chosen.aside, "pass_rows": sizes},
    )  # fmt: skip


def _pass_rows(work: Work, kind: str) -> int:
    """Sequences of a pass that a kind of device is good for: a power of two."""
    rows = _PASS_ROWS[kind]
    while rows > 1 and rows * work.row_bytes > PASS_BYTES[kind]:
        rows //= 2
    return rows
