"""One's own model on one's own rows: what is trained, that it looks ahead, that it comes back, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel

from tenon.core.errors import DataError, UnsupportedModelError
from tenon.core.models.loading import load_tokenizer
from tenon.core.models.tiny import ARCHITECTURES, tiny_model, tiny_tokenizer
from tenon.core.run import Run
from tenon.core.training.config import TrainConfig, training_arguments
from tenon.methods.mdm.collator import DataCollatorForMaskedDiffusion, encode_rows
from tenon.methods.mdm.config import FinetuneConfig, MDMConfig
from tenon.methods.mdm.finetune import (
    add_adapters,
    add_mask,
    diffusion_model,
    finetune,
    prepare,
    split_rows,
)
from tenon.methods.mdm.model import MDMForMaskedDiffusion, check_bidirectional
from tenon.methods.mdm.trainer import IGNORE, MDMTrainer

TRAIN = TrainConfig(
    steps=4, batch_size=8, learning_rate=1e-2, weight_decay=0.0, log_every=1, save_every=2, device="cpu"
)
CONFIG = FinetuneConfig(lora_rank=4, lora_alpha=8, mdm=MDMConfig(pad_policy="eos_fill"), train=TRAIN)
ROWS = [{"prompt": f"{a}+{b}=", "response": str(a + b)} for a in range(9, 12) for b in range(8)]
IDS = torch.randint(5, 120, (2, 14), generator=torch.Generator().manual_seed(0))
EVERY = [*ARCHITECTURES, "gpt2"]


def backbone(architecture: str) -> Any:
    if architecture != "gpt2":
        return tiny_model(architecture)
    torch.manual_seed(0)
    options: dict[str, Any] = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
    options |= {"bos_token_id": 1, "eos_token_id": 2}
    return GPT2LMHeadModel(GPT2Config(vocab_size=128, n_embd=32, n_layer=2, n_head=4, n_positions=64, **options)).eval()


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("backbone")
    tiny_model("llama").save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return str(folder)


def prepared(name: str, config: FinetuneConfig = CONFIG, rows: Any = ROWS) -> Any:
    return prepare(name, rows, config)


def tuned(path: Path, name: str, config: FinetuneConfig = CONFIG, rows: Any = ROWS) -> dict[str, Any]:
    with Run.open(path, config=config) as run:
        return finetune(run, prepared(name, config, rows), config) | {"metrics": run.metrics()}


def made(architecture: str, *, attention: str = "sdpa", config: FinetuneConfig = CONFIG) -> tuple[Any, Any]:
    """A backbone as fine-tuning makes it: bidirectional, with a new MASK, in adapters."""
    decoder, tokenizer = backbone(architecture), tiny_tokenizer()
    decoder.set_attn_implementation(attention)
    assert add_mask(decoder, tokenizer)
    model = diffusion_model(decoder, tokenizer.mask_token_id, has_padding=True)
    return (add_adapters(model, config) if config.lora_rank else model), tokenizer


# What is trained.


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "qwen3", "gpt2"])
def test_gradients_reach_adapters_and_mask_alone(tmp_path: Path, architecture: str) -> None:
    torch.manual_seed(0)
    model, tokenizer = made(architecture)
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    batch = DataCollatorForMaskedDiffusion(tokenizer, "ignore")(ROWS[:8])
    trainer = MDMTrainer(model=model, args=training_arguments(replace(TRAIN, steps=2), tmp_path))
    for weight in model.parameters():  # B is 0 at first, and with it the gradient of A
        if weight.requires_grad:
            weight.data += 0.1 * torch.randn_like(weight)
    trainer.compute_loss(model.train(), batch).backward()
    reached = {name for name, weight in model.named_parameters() if weight.grad is not None and weight.grad.any()}
    assert reached == {name for name, weight in model.named_parameters() if weight.requires_grad}
    assert {name.split(".")[-2] if "lora" not in name else "lora" for name in reached} == {
        "lora",
        "trainable_tokens_delta",
    }
    assert all(torch.equal(weight, before[name]) for name, weight in model.named_parameters() if name not in reached)
    layers = {name.split(".")[-4] for name in reached if "lora_A" in name}
    if architecture != "gpt2":  # the published list of the Llama baselines
        assert layers == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    else:
        assert layers == {"c_attn", "c_proj", "c_fc"}


@torch.no_grad()
def test_only_mask_gets_another_embedding() -> None:
    model, tokenizer = made("llama")
    embed = model.get_input_embeddings()
    before = embed(torch.arange(len(tokenizer))).clone()
    for name, weight in model.named_parameters():
        if "trainable_tokens" in name and weight.requires_grad:
            weight += 1
    moved = (embed(torch.arange(len(tokenizer))) - before).abs().amax(1).nonzero().flatten()
    assert moved.tolist() == [tokenizer.mask_token_id]


# It looks ahead.


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("architecture", EVERY)
@torch.no_grad()
def test_7_08_in_adapters_every_token_sees_the_last_one_and_no_padding(architecture: str, attention: str) -> None:
    model, _ = made(architecture, attention=attention)
    assert model.config.backbone._attn_implementation == attention  # the one that was asked for computes
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            weight.normal_(std=0.1)
    other = IDS.clone()
    other[:, -1] = 5 + (other[:, -1] - 4) % 26
    for is_training in (False, True):
        model.train(is_training)
        moved = (model(IDS).logits - model(other).logits).abs().amax((0, 2))
        assert bool((moved > 1e-4).all())
    model.eval()
    check_bidirectional(model)
    is_seen = (torch.arange(14) < 9).long().expand(2, -1)
    padded, alone = model(IDS, attention_mask=is_seen).logits[:, :9], model(IDS[:, :9]).logits
    torch.testing.assert_close(padded, alone, atol=2e-5, rtol=1e-4)  # fp32 softmax over 14 and over 9 keys
    assert float((model(IDS).logits[:, :9] - alone).abs().max()) > 1e-2  # what is not hidden is seen


@pytest.mark.parametrize("architecture", EVERY)
@torch.no_grad()
def test_7_08_attentions_agree(architecture: str) -> None:
    is_seen = (torch.arange(14) < torch.tensor([9, 14])[:, None]).long()
    logits = []
    for attention in ("eager", "sdpa"):
        torch.manual_seed(0)
        logits.append(made(architecture, attention=attention)[0](IDS, attention_mask=is_seen).logits)
    seen = is_seen.bool()
    torch.testing.assert_close(logits[0][seen], logits[1][seen], atol=1e-4, rtol=1e-4)  # fp32, another order of sums


@pytest.mark.parametrize(
    ("architecture", "options", "message"),
    [
        (
            "gpt_neo",
            {"hidden_size": 32, "num_layers": 2, "num_heads": 4, "attention_types": [[["global"], 2]]},
            "causal",
        ),
        ("mamba", {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 4}, "causal"),
        ("rwkv", {"hidden_size": 32, "num_hidden_layers": 2, "attention_hidden_size": 32}, "causal"),
        ("mpt", {"d_model": 32, "n_layers": 2, "n_heads": 4}, "without its causal mask"),
    ],
)
def test_9_models_that_cannot_look_ahead_are_refused(architecture: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UnsupportedModelError, match=message):
        diffusion_model(untrained(architecture, options), 3, has_padding=True)


@pytest.mark.parametrize(
    ("architecture", "options"),
    [
        ("falcon", {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}),
        ("bloom", {"hidden_size": 32, "n_layer": 2, "n_head": 4}),
    ],
)
@torch.no_grad()
def test_models_of_other_position_schemes_look_ahead_and_pass_over_padding(
    architecture: str, options: dict[str, Any]
) -> None:
    model, ids = diffusion_model(untrained(architecture, options), 3, has_padding=True), IDS[:1] % 64
    is_seen = (torch.arange(14) < 9).long()[None]
    torch.testing.assert_close(
        model(ids, attention_mask=is_seen).logits[:, :9], model(ids[:, :9]).logits, atol=2e-5, rtol=1e-4
    )


def untrained(architecture: str, options: dict[str, Any]) -> Any:
    """A decoder with weights so large that every token it sees moves its logits."""
    torch.manual_seed(0)
    decoder = AutoModelForCausalLM.from_config(AutoConfig.for_model(architecture, vocab_size=64, **options)).eval()
    for weight in decoder.parameters():
        if weight.dim() > 1:
            torch.nn.init.normal_(weight, std=0.3)
    return decoder


def test_bf16_backbone_with_adapters_in_fp32(tmp_path: Path) -> None:
    torch.manual_seed(0)
    decoder, tokenizer = backbone("llama").to(torch.bfloat16), tiny_tokenizer()
    add_mask(decoder, tokenizer)
    model = add_adapters(diffusion_model(decoder, tokenizer.mask_token_id), CONFIG)
    batch = DataCollatorForMaskedDiffusion(tokenizer, "eos_fill", 8)(ROWS[:8])
    trainer = MDMTrainer(model=model, args=training_arguments(TRAIN, tmp_path))
    loss = trainer.compute_loss(model.train(), batch)
    loss.backward()
    assert loss.dtype == torch.float32
    dtypes = {weight.dtype for name, weight in model.named_parameters() if "lora" in name}
    assert dtypes == {torch.float32}
    assert all(weight.grad.isfinite().all() for weight in model.parameters() if weight.grad is not None)


@pytest.mark.parametrize("norm", ["masked", "maskable", "batch"])
def test_7_17_cut_batches_train_as_one_though_each_has_its_own_padding(tmp_path: Path, norm: Any) -> None:
    rows = [{"prompt": "9+1", "response": "7" * (1 + 3 * row)} for row in range(8)]  # rows of 6 to 27 tokens

    def collated(tokenizer: Any, items: list[Any]) -> dict[str, torch.Tensor]:
        batch = DataCollatorForMaskedDiffusion(tokenizer, "ignore")([row for _, row in items])
        is_maskable = batch["labels"] != IGNORE
        time = torch.tensor([(1 + number) / 8 for number, _ in items])
        drawn = torch.stack([torch.rand(32, generator=torch.Generator().manual_seed(number)) for number, _ in items])
        is_masked = is_maskable & (drawn[:, : is_maskable.shape[1]] < time[:, None])
        return batch | {"time": time, "is_masked": is_masked}

    found = []
    for cut in ({"batch_size": 8}, {"batch_size": 2, "accumulation": 4}):
        torch.manual_seed(0)
        model, tokenizer = made("llama")
        encoded = list(enumerate(encode_rows(tokenizer, rows)))
        trainer = MDMTrainer(
            mdm=MDMConfig(loss_norm=norm, pad_policy="ignore"),
            model=model,
            args=training_arguments(replace(TRAIN, steps=1, **cut), tmp_path / str(cut)),
            data_collator=lambda items, tokenizer=tokenizer: collated(tokenizer, items),
            train_dataset=encoded,
        )
        trainer.train()
        found.append(torch.cat([one.detach().flatten() for one in model.parameters() if one.requires_grad]))
    torch.manual_seed(0)
    before = torch.cat([one.detach().flatten() for one in made("llama")[0].parameters() if one.requires_grad])
    assert float((found[0] - before).abs().max()) > 1e-3
    torch.testing.assert_close(found[1], found[0], atol=2e-5, rtol=0)


# It comes back.


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # peft asks transformers for it
@pytest.mark.parametrize("rank", [4, 0])
@pytest.mark.parametrize("architecture", ["llama", "qwen3", "gpt2", "gemma"])  # gpt2's and gemma's heads are tied
def test_7_18_what_is_saved_writes_what_was_trained(tmp_path: Path, architecture: str, rank: int) -> None:
    import peft

    backbone(architecture).save_pretrained(tmp_path / "backbone")
    tiny_tokenizer().save_pretrained(tmp_path / "backbone")
    config = replace(CONFIG, lora_rank=rank)
    figures = tuned(tmp_path / "run", str(tmp_path / "backbone"), config)
    assert figures["loss_after"] < figures["loss_before"]
    assert figures["trained"] == figures["parameters"] if rank == 0 else figures["trained"] < figures["parameters"]
    model = MDMForMaskedDiffusion.from_pretrained(tmp_path / "run" / "model").eval()
    check_bidirectional(model)
    tokenizer = load_tokenizer(tmp_path / "run" / "model")
    assert tokenizer.mask_token_id == model.config.mask_token_id == 128
    ids = IDS.clone()
    ids[:, 7] = 128
    begun: Any = prepared(str(tmp_path / "backbone"), replace(config, lora_rank=0)).model.eval()
    with torch.no_grad():
        logits = model(ids).logits
        assert float((begun(ids).logits - logits).abs().max()) > 1e-2
        if rank:  # the adapter beside it gives the same, on what it was trained from
            adapted = peft.PeftModel.from_pretrained(begun, tmp_path / "run" / "adapter").eval()
            torch.testing.assert_close(
                adapted(ids).logits, logits, atol=1e-4, rtol=1e-4
            )  # fp32: BA x against (W + BA) x
        else:
            assert not (tmp_path / "run" / "adapter").exists()
    names = {file.name for file in (tmp_path / "run" / "model").iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= names
    assert "training_args.bin" not in names


@pytest.mark.parametrize("config", [CONFIG, replace(CONFIG, lora_rank=0, mdm=MDMConfig(pad_policy="ignore"))])
def test_7_18_a_killed_training_goes_on_to_the_same_weights(
    tmp_path: Path, llama: str, config: FinetuneConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tuned(tmp_path / "whole", llama, config)
    saving = MDMTrainer._save_checkpoint

    def killing(self: Any, *args: Any, **options: Any) -> None:
        saving(self, *args, **options)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(MDMTrainer, "_save_checkpoint", killing)
        with pytest.raises(KeyboardInterrupt):
            tuned(tmp_path / "broken", llama, config)
    assert not (tmp_path / "broken" / "model").exists()
    assert tuned(tmp_path / "broken", llama, config) == whole
    assert [line["step"] for line in whole["metrics"]] == [1, 2, 3, 4]
    for name in ("model/model.safetensors", "adapter/adapter_model.safetensors")[: 1 + bool(config.lora_rank)]:
        assert (tmp_path / "broken" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    before = (tmp_path / "whole" / "model" / "model.safetensors").stat().st_mtime_ns
    assert tuned(tmp_path / "whole", llama, config) == whole  # what is finished is not done again
    assert (tmp_path / "whole" / "model" / "model.safetensors").stat().st_mtime_ns == before


def test_rows_of_one_prompt_stay_on_one_side() -> None:
    rows = [{"input_ids": [prompt, answer], "labels": [IGNORE, answer]} for prompt in range(20) for answer in (50, 51)]
    learnt, held_out = split_rows(rows, 0.25, 0)
    assert (len(learnt), len(held_out)) == (30, 10)
    assert {row["input_ids"][0] for row in learnt}.isdisjoint(row["input_ids"][0] for row in held_out)
    assert split_rows(rows, 0.0, 0) == (rows, [])
    assert split_rows(rows, 0.25, 1) != (learnt, held_out)
    assert len(split_rows(rows[:4], 0.01, 0)[1]) == 2  # rounded up to one prompt
    with pytest.raises(DataError, match="1 different prompts; none is left to train on"):
        split_rows(rows[:2], 0.1, 0)


def test_without_held_out_rows_there_is_no_loss_of_theirs(tmp_path: Path, llama: str) -> None:
    figures = tuned(tmp_path, llama, replace(CONFIG, held_out=0.0), [*ROWS, {"prompt": "a", "response": ""}])
    assert (figures["loss_before"], figures["loss_after"]) == (None, None)
    assert (figures["rows"], figures["skipped_rows"]) == (24, 1)


def test_mask_is_the_tokenizers_or_a_spare_one_or_new() -> None:
    model, tokenizer = tiny_model("llama"), tiny_tokenizer()
    assert not add_mask(model, tokenizer, "~")  # no row has it
    assert (tokenizer.mask_token_id, model.config.vocab_size) == (tokenizer.convert_tokens_to_ids("~"), 128)
    assert not add_mask(model, tokenizer)  # it has one
    assert tokenizer.mask_token == "~"
    spare = tiny_model("llama", vocab_size=160)
    assert add_mask(spare, tiny_tokenizer())
    assert spare.config.vocab_size == 160  # room was left
    model = tiny_model("llama")
    assert add_mask(model, fresh := tiny_tokenizer(), "<|gap|>")
    assert (fresh.mask_token_id, model.config.vocab_size) == (128, 129)
    assert len(model.get_input_embeddings().weight) == len(model.get_output_embeddings().weight) == 129
