"""Descriptions of published Borzoi models."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from drg_hpc.errors import InputError
from drg_hpc.models.borzoi_params import borzoi_params
from drg_hpc.models.config import BorzoiConfig
from tests.models.borzoi_files import params

PUBLISHED: dict[str, Any] = {
    "model": {
        "seq_length": 524288, "augment_rc": True, "augment_shift": 3, "activation": "gelu", "norm_type": "batch-sync",
        "bn_momentum": 0.9, "kernel_initializer": "lecun_normal", "l2_scale": 2.0e-8,
        "trunk": [
            {"name": "conv_dna", "filters": 512, "kernel_size": 15, "norm_type": None, "activation": "linear",
             "pool_size": 2},
            {"name": "res_tower", "filters_init": 608, "filters_end": 1536, "divisible_by": 32, "kernel_size": 5,
             "num_convs": 1, "pool_size": 2, "repeat": 6},
            {"name": "transformer_tower", "key_size": 64, "heads": 8, "num_position_features": 32, "dropout": 0.2,
             "mha_l2_scale": 1.0e-8, "l2_scale": 1.0e-8, "kernel_initializer": "he_normal", "repeat": 8},
            {"name": "unet_conv", "kernel_size": 3, "upsample_conv": True},
            {"name": "unet_conv", "kernel_size": 3, "upsample_conv": True},
            {"name": "Cropping1D", "cropping": 5120},
            {"name": "conv_nac", "filters": 1920, "dropout": 0.1},
        ],
        "head_human": {"name": "final", "units": 7611, "activation": "softplus"},
        "head_mouse": {"name": "final", "units": 2608, "activation": "softplus"},
    }
}  # fmt: skip


def test_published() -> None:
    found = borzoi_params(PUBLISHED, source="params.json")
    assert found.config.tower_channels == (608, 736, 896, 1056, 1280, 1536)
    assert found.config == BorzoiConfig(crop=5120, mask_tokens=4096, norm_momentum=found.config.norm_momentum)
    assert found.config.norm_momentum == pytest.approx(0.1)
    assert (found.length, found.heads) == (524288, {"human": 7611, "mouse": 2608})
    assert (found.config.token_size, found.config.bin_size) == (128, 32)
    assert borzoi_params(PUBLISHED["model"], source="model") == found


def test_mini() -> None:
    """Widths, no crop, no convolution on the upsampled path or before the head."""
    mini = copy.deepcopy(PUBLISHED)
    trunk, model = mini["model"]["trunk"], mini["model"]
    model |= {"seq_length": 393216, "norm_type": "batch"}
    trunk[0] |= {"filters": 320, "kernel_size": 11}
    trunk[1] |= {"filters_init": 384, "filters_end": 768, "divisible_by": 16}
    trunk[2] |= {"heads": 4}
    del trunk[5:], trunk[3]["upsample_conv"], trunk[4]["upsample_conv"]
    del model["head_mouse"]
    model["head_human"]["units"] = 2
    found = borzoi_params(mini, source="params.json")
    assert found.config.tower_channels == (384, 448, 512, 576, 672, 768)
    assert (found.config.stem_channels, found.config.stem_size, found.config.heads) == (320, 11, 4)
    assert (found.config.crop, found.config.final_channels, found.config.upsample_conv) == (0, 0, False)
    assert (found.config.mask_tokens, found.heads) == (3072, {"human": 2})


def test_the_older_name_of_the_upsampling_block() -> None:
    older = copy.deepcopy(PUBLISHED)
    older["model"]["trunk"][3:5] = [{"name": "fpn_unet", "kernel_size": 3}] * 2
    assert borzoi_params(older, source="p") == borzoi_params(PUBLISHED, source="p")


def test_defaults_of_the_blocks() -> None:
    bare = copy.deepcopy(PUBLISHED)
    block = {"name": "transformer_tower", "key_size": 64, "heads": 8, "repeat": 8, "seqlen_train": 1000}
    bare["model"]["trunk"][2] = block
    config = borzoi_params(bare, source="p").config
    assert (config.position_features, config.mask_tokens, config.expansion) == (192, 1000, 2.0)
    assert (config.dropout, config.attention_dropout, config.position_dropout) == (0.25, 0.05, 0.01)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, {"crop": 5120, "unet": 2, "final_channels": 1920}),
        ({"return_center_bins_only": False}, {"crop": 16}),
        ({"bins_to_return": -1}, {"crop": 0}),
        ({"model_type": "prime"}, {"crop": 10240, "unet": 3, "final_channels": 0}),
        ({"dropout_rate": 0.3, "attn_dim_value": 96}, {"dropout": 0.3, "value_size": 96}),
    ],
)
def test_borzoi_pytorch(values: dict[str, Any], expected: dict[str, Any]) -> None:
    found = borzoi_params({"dim": 1536, "depth": 8, "architectures": ["Borzoi"], **values}, source="config.json")
    assert found.length == 524288 and found.heads == {}
    assert {key: getattr(found.config, key) for key in expected} == expected
    assert found.config.mask_tokens == 4096


def changed(where: tuple[Any, ...], **values: Any) -> dict[str, Any]:
    """The small description with one table changed."""
    found = params()
    table = found["model"]
    for key in where:
        table = table[key]
    table |= values
    return found


@pytest.mark.parametrize(
    ("description", "words"),
    [
        ({}, "neither model.trunk"),
        ({"dim": 64, "depth": 1, "flashed": True}, "Flashzoi is another network.*flash-attn"),
        ({"dim": "64", "depth": 1}, "dim = '64' must be a whole number"),
        (changed((), activation="relu"), "model: activation = 'relu' is not supported, only 'gelu'"),
        (changed((), norm_type="layer"), "norm_type = 'layer'"),
        (changed(("trunk", 0), name="ConvDNA"), r"trunk\[0\]: block 'ConvDNA' is not one"),
        (changed(("trunk", 0), norm_type="batch"), r"trunk\[0\]: norm_type = 'batch'"),
        (changed(("trunk", 0), pool_size=4), "pool_size = 4"),
        (changed(("trunk", 1), num_convs=2), "num_convs = 2"),
        (changed(("trunk", 1), squeeze=True), "unknown settings 'squeeze'"),
        (changed(("trunk", 2), qkv_width=3), "qkv_width = 3"),
        (changed(("trunk", 2), heads=5), "heads = 5 does not divide the transformer's width 12"),
        (changed(("trunk", 3), kernel_size=5), "unet_conv blocks differ"),
        (changed(("trunk", 5), cropping="x"), "crop"),
        (changed(("trunk", 6), name="Cropping1D", cropping=1), "stands in another place"),
        (changed(("head_human",), activation="linear"), "head_human: activation = 'linear'"),
        (changed(("head_human",), name="dense"), "head_human: block 'dense'"),
        (changed((), head_human=3), "head_human is not one block"),
        (changed((), trunk=[]), "has no block conv_dna, res_tower, transformer_tower"),
        (changed((), trunk=[7]), "block None"),
        (changed((), seq_length=0), "seq_length = 0"),
    ],
)
def test_other_networks_are_refused(description: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        borzoi_params(description, source="p.json")


def test_a_model_without_a_head() -> None:
    description = params()
    del description["model"]["head_human"]
    with pytest.raises(InputError, match="has no head"):
        borzoi_params(description, source="p.json")
