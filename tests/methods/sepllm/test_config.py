"""Options: what is refused before any forward, and what the presets stand for."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from tenon.core.config import load
from tenon.core.errors import ConfigError
from tenon.methods.sepllm.config import PRESETS, SepConfig, single

BOUNDED: dict[str, Any] = {"init": 4, "sep_capacity": 64, "local": 224, "capacity": 324}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"window": 0}, "SepConfig.window is 0; it must be 1 or more: it counts the query itself"),
        ({"init": -1}, "SepConfig.init is -1"),
        ({"interval": 0}, "SepConfig.interval is 0"),
        ({"separator_ids": (-3,)}, "separator_ids"),
        (BOUNDED | {"local": 256}, r"init \+ sep_capacity \+ local < capacity, but 4 \+ 64 \+ 256 = 324 .* 324"),
        (BOUNDED | {"local": 0}, "SepConfig.local is 0"),
        (BOUNDED | {"local": -5}, "SepConfig.local is -5"),
        (BOUNDED | {"sep_capacity": -1}, "SepConfig.sep_capacity is -1"),
        ({"capacity": 324}, "needs all three"),
        ({"local": 8, "sep_capacity": 4}, "needs all three"),
        ({"positions": "cache"}, "without a capacity"),
        ({"prefill": "stream"}, "without a capacity"),
        (BOUNDED | {"positions": "cache", "full_layers": "head"}, "in-cache positions suit one rule"),
        # The exception of a cache of exactly init + local is for StreamingLLM alone.
        (
            {"separators": "none", "init": 4, "sep_capacity": 1, "local": 319, "capacity": 324},
            "lower one of the others",
        ),
        ({"init": 4, "sep_capacity": 0, "local": 320, "capacity": 324}, "lower one of the others"),
        # Sizes by layer.
        ({"window": (8, 0)}, r"SepConfig.window is \(8, 0\)"),
        ({"window": ()}, r"SepConfig.window is \(\)"),
        ({"window": (8, 9), "init": (1, 2, 3)}, r"sizes for 2 and 3 layers \(init, window\)"),
        (BOUNDED | {"local": (224, 256)}, r"4 \+ 64 \+ 256 = 324"),
        (BOUNDED | {"local": (224, 100), "positions": "cache"}, "local differ by layer; in-cache positions suit one"),
    ],
)
def test_9_sizes_that_cannot_work_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SepConfig(**change)


def test_sizes_by_layer() -> None:
    config = SepConfig(window=[8, 16, 8], full_layers=(1,))  # type: ignore[arg-type] - a list is as good
    assert config == SepConfig(window=(8, 16, 8), full_layers=(1,))
    assert [rule.window for rule in config.rules(3)] == [8, None, 8]
    with pytest.raises(ConfigError, match="window has 3 sizes, but the model has 2 layers"):
        config.rules(2)
    assert load(SepConfig, sets=["window=8,16,8"]).window == (8, 16, 8)
    with pytest.raises(ConfigError, match="must be one number for all layers"):
        single(config.window, "window")


def test_9_full_layers_that_the_model_has_not() -> None:
    with pytest.raises(ConfigError, match="layers 0 to 3"):
        SepConfig(full_layers=(0, 4)).full_indices(4)


def test_full_layers_by_name() -> None:
    named = {
        name: sorted(SepConfig(full_layers=name).full_indices(12)) for name in ("head", "head_tail", "head_mid_tail")
    }
    assert named == {"head": [0], "head_tail": [0, 11], "head_mid_tail": [0, 5, 11]}  # 0, 5, 11 of 12: [paper]


def test_streamingllm_may_fill_its_cache_exactly() -> None:
    preset = PRESETS["streamingllm"]
    assert (preset.init, preset.local, preset.capacity) == (4, 320, 324)
    assert not preset.has_separators


def test_front_names_need_no_torch() -> None:
    code = (
        "import sys; from tenon.methods.sepllm import CARD, PRESETS, SepConfig, app; "
        "assert not {'torch', 'transformers'} & set(sys.modules), 'torch was imported'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
