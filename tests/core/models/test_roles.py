"""Roles: every name of every architecture leads to a module of the right shape, and nothing unknown is guessed."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from tenon.core.config import field_docs
from tenon.core.errors import UnsupportedModelError
from tenon.core.models.counting import flops_per_token, parameters_by_kind
from tenon.core.models.roles import ROLES, Roles, roles_of
from tenon.core.models.tiny import ARCHITECTURES, HYBRIDS, tiny_model

# hidden 64, 4 heads of 16, 2 key/value heads, MLP 128, vocabulary 128; Linear weights are (out, in)
WEIGHT_SHAPES = {
    "embedding": (128, 64),
    "final_norm": (64,),
    "head": (128, 64),
    "attention_norm": (64,),
    "query": (64, 64),
    "key": (32, 64),
    "value": (32, 64),
    "fused_qkv": (192, 64),
    "query_norm": (16,),
    "key_norm": (16,),
    "output": (64, 64),
    "mlp_norm": (64,),
    "gate": (128, 64),
    "up": (128, 64),
    "down": (64, 128),
}
OF_THE_MODEL = ("backbone", "embedding", "layers", "rotary", "final_norm", "head", "vision_tower")


def test_the_table_covers_the_tiny_models() -> None:
    assert set(ROLES) == {*ARCHITECTURES, *HYBRIDS}


@pytest.mark.parametrize("arch", HYBRIDS)
def test_names_of_a_hybrid_lead_somewhere_in_its_layers_of_attention(arch: str) -> None:
    model = tiny_model(arch)
    roles = roles_of(model)
    layers = model.get_submodule(roles.layers)
    attends = [layer for layer, kind in zip(layers, model.config.layer_types, strict=True) if kind == "full_attention"]
    assert 0 < len(attends) < len(layers)
    for role, name in dataclasses.asdict(roles).items():
        for root in [model] if role in OF_THE_MODEL else attends:
            if name is not None:
                root.get_submodule(name)
    for count in (lambda: parameters_by_kind(model), lambda: flops_per_token(model.config, 8)):
        with pytest.raises(UnsupportedModelError, match="hybrid models are not counted"):
            count()


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_every_name_leads_to_a_module_of_the_right_shape(arch: str) -> None:
    model = tiny_model(arch)
    roles = roles_of(model)
    layers = model.get_submodule(roles.layers)
    assert isinstance(layers, nn.ModuleList)
    assert len(layers) == 2
    for role, name in dataclasses.asdict(roles).items():
        if name is None:
            continue
        for root in [model] if role in OF_THE_MODEL else layers:
            module = root.get_submodule(name)
            if role in WEIGHT_SHAPES:
                assert tuple(module.weight.shape) == WEIGHT_SHAPES[role], role


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_the_roles_account_for_every_parameter(arch: str) -> None:
    """A projection that no role names (a bias is its projection's) would be forgotten by every method."""
    model = tiny_model(arch)
    roles = roles_of(model)
    names = dataclasses.asdict(roles)
    outer = {names[role] for role in ("embedding", "final_norm", "head")}
    inner = {name for role, name in names.items() if role not in (*OF_THE_MODEL, "attention", "mlp") and name}
    expected = outer | {f"{roles.layers}.{i}.{name}" for i in range(2) for name in inner}
    found = {name.rpartition(".")[0] for name, _ in model.named_parameters(remove_duplicate=False)}
    assert found == expected


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_attention_is_split_or_fused_and_its_output_is_what_the_layer_adds(arch: str) -> None:
    model, roles = tiny_model(arch), ROLES[arch]
    split = [roles.query, roles.key, roles.value]
    assert all(split) if roles.fused_qkv is None else not any(split)
    layer = model.get_submodule(roles.layers)[0]
    seen = {}
    layer.get_submodule(roles.output).register_forward_hook(lambda _m, _i, out: seen.update(projected=out))
    layer.get_submodule(roles.attention).register_forward_hook(lambda _m, _i, out: seen.update(attention=out[0]))
    layer.get_submodule(roles.down).register_forward_hook(lambda _m, _i, out: seen.update(down=out))
    layer.get_submodule(roles.mlp).register_forward_hook(lambda _m, _i, out: seen.update(mlp=out))
    model(torch.arange(8)[None])
    assert torch.equal(seen["projected"], seen["attention"])
    assert torch.equal(seen["down"], seen["mlp"])


def test_the_fused_projection_is_grouped_by_head() -> None:
    model = tiny_model("gpt_neox")
    layer = model.get_submodule(ROLES["gpt_neox"].layers)[0]
    with torch.no_grad():  # silence the value of head 1: rows 48 + 32 to 48 + 48
        for tensor in (layer.attention.query_key_value.weight, layer.attention.query_key_value.bias):
            tensor[80:96] = 0
    seen = {}
    layer.attention.dense.register_forward_pre_hook(lambda _m, args: seen.update(heads=args[0]))
    model(torch.arange(8)[None])
    assert [bool(head.any()) for head in seen["heads"][0].split(16, dim=-1)] == [True, False, True, True]


def test_a_config_has_roles_too() -> None:
    assert roles_of(tiny_model("phi").config) is ROLES["phi"]


def test_unknown_types_are_refused() -> None:
    with pytest.raises(UnsupportedModelError, match=r"model_type 'mamba'.*known are llama, mistral, qwen2.*roles\.py"):
        roles_of(SimpleNamespace(model_type="mamba"))  # type: ignore[arg-type]
    with pytest.raises(UnsupportedModelError, match="Linear has model_type None"):
        roles_of(nn.Linear(2, 2))


def test_a_backbone_or_a_wrapper_is_refused() -> None:
    model = tiny_model("llama")
    with pytest.raises(UnsupportedModelError, match=r"LlamaModel has no 'model.layers'; pass the causal model itself"):
        roles_of(model.model)


def test_every_role_says_what_it_is() -> None:
    assert set(field_docs(Roles)) == {field.name for field in dataclasses.fields(Roles)}
    assert all(field_docs(Roles).values())
