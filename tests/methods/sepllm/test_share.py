"""What is left of full attention, counted: the mask's pairs, closed forms, and the paper's table 3."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import GPTNeoXConfig

from tenon.methods.sepllm.config import LayerRule, SepConfig
from tenon.methods.sepllm.mask import sep_mask
from tenon.methods.sepllm.share import attention_map_pct, flops_pct, last_row_pct, paper_shares, visible_counts

PYTHIA = GPTNeoXConfig(hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12)
TABLE_3 = [(6.43, 70.11), (17.21, 71.77), (22.48, 72.58), (24.11, 72.83), (31.01, 73.90)]  # attention map, FLOPs


@pytest.mark.parametrize("window", [1, 3, 8, 20, 25, None])
@pytest.mark.parametrize("init", [0, 2])
def test_counts_are_those_of_the_mask(text: Any, tokenizer: Any, window: int | None, init: int) -> None:
    is_sep = torch.isin(text(20, rows=3), torch.tensor(tokenizer.convert_tokens_to_ids([".", ","])))
    rule, mask = LayerRule(init=init, window=window), sep_mask(is_sep, init=init, window=window)
    assert torch.equal(visible_counts(is_sep, rule), mask.sum(2))
    assert attention_map_pct(is_sep, [rule]) == pytest.approx(100 * float(mask.sum()) / (3 * 20 * 21 / 2))
    assert last_row_pct(is_sep, [rule]) == pytest.approx(100 * float(mask[:, -1].sum()) / 60)


@pytest.mark.parametrize(("window", "expected"), [(64, 6.4344), (128, 12.381)])
def test_7_16_attention_map_of_streamingllm_and_of_full_layers(window: int, expected: float) -> None:
    none = torch.zeros(1, 2048, dtype=torch.bool)
    config = SepConfig(separators="none", init=3, window=window)
    share = attention_map_pct(none, config.rules(12))
    assert share == pytest.approx(expected, abs=5e-4)
    for full_layers, count in (("head", 1), ("head_tail", 2), ("head_mid_tail", 3)):
        some = SepConfig(separators="none", init=3, window=window, full_layers=full_layers)
        assert attention_map_pct(none, some.rules(12)) == pytest.approx(((12 - count) * share + count * 100) / 12)


@pytest.mark.parametrize(("attention", "flops"), TABLE_3)
def test_flops_of_table_3_follow_from_its_attention_maps(attention: float, flops: float) -> None:
    paper = flops_pct(PYTHIA, 2048, attention, convention="paper", include_head=False)
    assert paper == pytest.approx(flops, abs=0.15)
    causal = flops_pct(PYTHIA, 2048, attention, convention="causal", include_head=False)
    assert causal > paper + 10  # what a causal kernel saves is much less
    assert flops_pct(PYTHIA, 2048, 100.0) == 100.0


def test_another_convention_is_refused() -> None:
    with pytest.raises(ValueError, match="'causal' or 'paper'"):
        flops_pct(PYTHIA, 64, 50.0, convention="square")


def test_shares_of_the_papers_masks() -> None:
    is_sep = torch.rand(4, 2048, generator=torch.Generator().manual_seed(0)) < 0.115
    rows = {str(row["mask"]): row for row in paper_shares(is_sep)}
    assert rows["StreamingLLM, n=64"]["attention map [%]"] == pytest.approx(6.43, abs=0.01)
    # The density is that which table 3 implies; its rows then follow.
    assert rows["SepLLM, n=64"]["attention map [%]"] == pytest.approx(17.21, abs=0.5)
    assert rows["SepLLM, n=128"]["attention map [%]"] == pytest.approx(22.48, abs=0.5)
    assert rows["SepLLM, n=64"]["FLOPs, paper's way [%]"] == pytest.approx(71.77, abs=0.3)
    assert rows["SepLLM, n=64"]["FLOPs, causal [%]"] == pytest.approx(84.9, abs=0.2)
