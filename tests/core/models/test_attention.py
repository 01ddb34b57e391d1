"""The attention seam: new names only, and undone exactly."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tenon.core.errors import UnsupportedModelError
from tenon.core.models.attention import Switch, check_transformers, register, sdpa
from tenon.core.models.tiny import tiny_model


def attention(module: Any, query: Any, key: Any, value: Any, mask: Any, *, scaling: float, **kwargs: Any) -> Any:
    assert mask is None
    return sdpa(module, query, key, value, None, scaling=scaling)


def halved(module: Any, query: Any, key: Any, value: Any, mask: Any, *, scaling: float, **kwargs: Any) -> Any:
    return sdpa(module, query, key, value / 2, None, scaling=scaling)


def test_a_taken_name_is_refused() -> None:
    register("tenon_test", attention)
    register("tenon_test", attention)
    with pytest.raises(ValueError, match="already knows an attention function 'sdpa'"):
        register("sdpa", attention)
    with pytest.raises(ValueError, match="tenon_test"):
        register("tenon_test", halved)


@pytest.mark.parametrize("arch", ["llama", "gpt_neox"])
@pytest.mark.parametrize("own", ["sdpa", "eager"])
def test_switched_on_and_off(arch: str, own: str) -> None:
    register("tenon_test_halved", halved)
    model = tiny_model(arch, attn_implementation=own)
    ids, before = torch.arange(5, 25)[None], model.config.to_dict()
    with torch.no_grad():
        expected = model(ids).logits
        with Switch(model, "tenon_test_halved") as switch:
            changed = model(ids).logits
            assert not torch.allclose(changed, expected)
            with switch.handed_over():
                assert torch.equal(model(ids).logits, expected)
            assert torch.equal(model(ids).logits, changed)
        assert torch.equal(model(ids).logits, expected)
    assert model.config._attn_implementation == own
    assert model.config.to_dict() == before


def test_it_comes_off_after_an_error() -> None:
    register("tenon_test", attention)
    model = tiny_model("llama")
    with pytest.raises(ZeroDivisionError), Switch(model, "tenon_test"):
        raise ZeroDivisionError
    assert model.config._attn_implementation == "sdpa"


def test_a_model_without_the_registry_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    register("tenon_test", attention)
    model = tiny_model("llama")
    monkeypatch.setattr(type(model), "set_attn_implementation", lambda self, name: None)
    with pytest.raises(UnsupportedModelError, match="LlamaForCausalLM does not look its attention up"):
        Switch(model, "tenon_test")
    assert model.config._attn_implementation == "sdpa"


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("queries", [1, 6])
def test_grouped_heads_and_masks(groups: int, queries: int) -> None:
    class Module:
        num_key_value_groups = groups

    query, key, value = (
        torch.randn(2, 4, queries, 8),
        torch.randn(2, 4 // groups, 9, 8),
        torch.randn(2, 4 // groups, 9, 8),
    )
    seen = torch.rand(2, 1, queries, 9) < 0.5
    seen[..., 0] = True
    found, _ = sdpa(Module(), query, key, value, seen, scaling=0.3)  # type: ignore[arg-type]
    scores = query @ key.repeat_interleave(groups, 1).transpose(2, 3) * 0.3
    weights = scores.masked_fill(~seen, -torch.inf).softmax(-1)
    expected = weights @ value.repeat_interleave(groups, 1)
    torch.testing.assert_close(found, expected.transpose(1, 2), atol=1e-6, rtol=0)  # fp32 softmax over 9 keys


def test_an_old_transformers_is_refused() -> None:
    check_transformers()
    check_transformers("6.0.0.dev1")
    with pytest.raises(ImportError, match=r"transformers 5.16.2 is installed, but 5.17 or newer is needed"):
        check_transformers("5.16.2")
