"""The presets against the specification's tables, value by value, and what a training makes of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tenon.core.config import to_dict
from tenon.core.errors import ConfigError
from tenon.core.training.config import TrainConfig
from tenon.methods.rise.config import ERROR_KINDS, PRESETS, RISEConfig

PAPER, CODE = PRESETS["paper"], PRESETS["released-code"]


def test_the_table_of_hyper_parameters() -> None:
    """Section 2.9; K of 2.2, N of 2.7."""
    for recipe in (PAPER, CODE):
        rise, train = recipe.rise, recipe.rise.train
        assert (rise.beta, rise.loss, rise.label_smoothing) == (0.4, "sigmoid", 0.0)
        assert (train.learning_rate, train.schedule, train.min_lr_ratio, rise.warmup_ratio) == (
            5e-7,
            "cosine",
            0.0,
            0.1,
        )
        assert (rise.epochs, train.save_every) == (8, 100)
        assert (train.batch_size, rise.pairs_per_step) == (4, 128)
        assert (rise.max_length, rise.max_prompt_length) == (1024, 512)
        assert (train.precision, rise.dtype, rise.lora_rank) == ("bf16", "float32", 0)
        assert (train.weight_decay, train.adam_beta1, train.adam_beta2, train.max_grad_norm) == (0.0, 0.9, 0.999, 1.0)
        assert train.seed == 42
        assert rise.precompute_reference
        sample = recipe.sample
        assert (sample.samples, sample.temperature, sample.top_p, sample.max_tokens) == (5, 0.2, 0.9, 2048)
        assert (recipe.edit.editor, recipe.edit.kinds, recipe.edit.window) == ("llm", ERROR_KINDS, 4)
        assert (recipe.edit.max_tokens, recipe.edit.filters.phrases, recipe.edit.filters.verify) == (2048, True, False)
        assert (recipe.pairs.full, recipe.pairs.edited, recipe.pairs.need_both) == (True, 1, True)
        assert recipe.prompt.prefill.endswith("\nStep 1: ")
        assert "\\boxed{}" in recipe.prompt.instruction


def test_the_presets_differ_in_what_the_release_lacks_and_nothing_else() -> None:
    differs = {
        ("edit", "filters", "distance"): (True, False),  # 2.6: no such filter
        ("pairs", "cut_rejected"): (False, True),  # 2.3: whatever is not right
        ("rise", "nll_weight"): (1.0, 0.0),  # 2.8: no rpo_alpha
        ("rise", "eos_on_terminal"): (True, False),  # 2.8: no EOS anywhere
        ("rise", "cut_completion"): (False, True),  # 2.8: trl 0.9.6 cuts both
    }
    paper, code = flat(to_dict(PAPER)), flat(to_dict(CODE))
    assert {name: (paper[name], code[name]) for name in paper if paper[name] != code[name]} == differs
    assert paper.keys() == code.keys()


def flat(value: object, at: tuple[str, ...] = ()) -> dict[tuple[str, ...], object]:
    if not isinstance(value, dict):
        return {at: value}
    return {name: one for key, inner in value.items() for name, one in flat(inner, (*at, key)).items()}


@pytest.mark.parametrize("processes", [1, 2, 8])
def test_a_step_has_as_many_pairs_on_any_number_of_gpus(processes: int) -> None:
    for recipe in (PAPER, CODE):
        found = recipe.rise.scheduled(9000, processes)
        assert found.batch_size * found.accumulation * processes == 128
        assert found.accumulation == {1: 32, 2: 16, 8: 4}[processes]
        assert (found.steps, found.warmup_steps) == (563, 57)  # 8 x 9000 / 128 = 562.5; a tenth of that is 56.3


def test_the_schedule_by_hand() -> None:
    train = TrainConfig(steps=30, batch_size=3, accumulation=2, warmup_steps=5)
    rise = RISEConfig(train=train)
    assert rise.scheduled(100, 4) == train  # nothing is derived
    found = replace(rise, epochs=1.5).scheduled(41)
    assert (found.steps, found.warmup_steps, found.accumulation) == (11, 5, 2)  # 61.5 rows / 6 = 10.25
    found = replace(rise, epochs=1.5, warmup_ratio=0.25).scheduled(41, processes=2)
    assert (found.steps, found.warmup_steps) == (6, 2)  # 61.5 / 12 = 5.1; a quarter of 6 is 1.5
    assert replace(rise, epochs=0.1).scheduled(10).steps == 1
    assert replace(rise, epochs=0.1).scheduled(10).warmup_steps == 1  # no longer than the training
    assert replace(rise, warmup_ratio=0.0).scheduled(10).warmup_steps == 0
    assert replace(found, steps=30, warmup_steps=5) == train  # all else stays


def test_pairs_that_cannot_be_shared_evenly_are_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"pairs_per_step is 128; it must be a multiple of 20: train.batch_size x 5 p"
    ):
        PAPER.rise.scheduled(1000, 5)
    with pytest.raises(ConfigError, match=r"multiple of 256: train.batch_size x 64 processes"):
        PAPER.rise.scheduled(1000, 64)
    train = replace(PAPER.rise.train, batch_size=6)
    with pytest.raises(ConfigError, match=r"multiple of 6: train.batch_size x 1 process\."):
        replace(PAPER.rise, train=train)
    with pytest.raises(ConfigError, match="pairs_per_step is 0"):
        replace(PAPER.rise, pairs_per_step=0)
    with pytest.raises(ConfigError, match=r"none where train\.accumulation is set"):
        replace(PAPER.rise, train=replace(PAPER.rise.train, accumulation=2))
