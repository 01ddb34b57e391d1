"""Loading: three kinds of names, safe defaults, errors that help, a hash that follows the weights and nothing else."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import torch

from tenon.core.errors import BackendError, ConfigError, DataError, UnsupportedModelError
from tenon.core.models import loading
from tenon.core.models.loading import is_nano, load_config, load_model, load_tokenizer, nano_names, weights_hash
from tenon.core.models.tiny import tiny_model, tiny_tokenizer


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A bf16 checkpoint, as most are, with its tokenizer."""
    folder = tmp_path / "model"
    tiny_model("llama").to(torch.bfloat16).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture
def nano_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "nano"
    tiny_model("llama", seed=1).save_pretrained(folder / "nano-toy")
    tiny_tokenizer().save_pretrained(folder / "nano-toy")
    (folder / "nano-unfinished").mkdir()  # no weights: not a model yet
    monkeypatch.setattr(loading, "NANO_FOLDER", folder)
    return folder


def test_local_folder_on_the_cpu_is_float32_and_in_eval_mode(saved: Path) -> None:
    for name in (saved, str(saved)):
        model = load_model(name, device="cpu")
        assert model.dtype == torch.float32
        assert not model.training
        assert torch.equal(model.lm_head.weight, tiny_model("llama").lm_head.weight.bfloat16().float())


def test_dtype_and_attention_are_passed_on(saved: Path) -> None:
    model = load_model(saved, device="cpu", dtype="bfloat16", attn_implementation="eager")
    assert model.dtype == torch.bfloat16
    assert model.config._attn_implementation == "eager"
    assert load_model(saved, device="cpu", dtype=torch.float64).dtype == torch.float64


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_keeps_the_checkpoints_dtype(saved: Path) -> None:
    model = load_model(saved)
    assert (model.dtype, model.device.type) == (torch.bfloat16, "cuda")


def test_nano_names_are_found_by_path(nano_folder: Path) -> None:
    assert nano_names() == ["nano-toy"]
    assert is_nano("nano-toy")
    assert is_nano(nano_folder / "nano-toy")
    assert not is_nano("nano-unfinished")
    assert not is_nano("org/nano-toy")
    state = load_model("nano-toy", device="cpu").state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in tiny_model("llama", seed=1).state_dict().items())
    assert load_tokenizer("nano-toy")("Hi")["input_ids"] == tiny_tokenizer()("Hi")["input_ids"]


def test_the_packaged_nano_lm_loads() -> None:
    if not is_nano("nano-lm"):
        pytest.skip("this checkout has no nano-lm weights")
    model, tokenizer = load_model("nano-lm", device="cpu"), load_tokenizer("nano-lm")
    assert model.config.vocab_size >= len(tokenizer)
    assert re.fullmatch("[0-9a-f]{64}", weights_hash("nano-lm"))


@pytest.mark.parametrize("load", [load_model, load_tokenizer, weights_hash])
@pytest.mark.parametrize(
    "name", ["nano-toi", "./nowhere", "/no/such/folder", "~/nowhere", "a/b/c", Path("nowhere"), "who/what", "x"]
)
def test_a_wrong_name_says_what_was_tried_and_what_to_do(load, name, nano_folder: Path) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(DataError) as caught:
        load(name)
    message = str(caught.value)
    assert message.startswith(repr(str(name)))
    assert "nano-toy" in message
    assert "there is no" in message
    assert "Give one of these names, a folder with config.json and safetensors, or a hub id" in message


def test_what_transformers_says_is_readable(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("Got: ConnectError: [Errno -2] Name or service not known\nAn error happened.")

    monkeypatch.setattr("transformers.AutoConfig.from_pretrained", fail)
    with pytest.raises(
        DataError, match=r", and transformers, which says: ConnectError: \[Errno -2\] Name .* known\. Give"
    ):
        load_config("org/model")


def test_a_misspelt_nano_name_never_asks_the_hub(nano_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(*_: object, **__: object) -> None:
        raise AssertionError("asked the hub")

    monkeypatch.setattr("transformers.AutoConfig.from_pretrained", ask)
    with pytest.raises(DataError):
        load_model("nano-toi")


def test_a_folder_without_a_model_says_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(DataError, match=r"holds: notes\.txt"):
        load_model(tmp_path)
    with pytest.raises(DataError, match=r"holds no safetensors \(it holds: notes\.txt\)"):
        weights_hash(tmp_path)


def test_a_known_model_that_is_no_causal_language_model_is_refused(tmp_path: Path) -> None:
    from transformers import T5Config, T5ForConditionalGeneration

    shape = T5Config(vocab_size=16, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2, decoder_start_token_id=0)
    T5ForConditionalGeneration(shape).save_pretrained(tmp_path)
    with pytest.raises(UnsupportedModelError, match="is no causal language model"):
        load_model(tmp_path)


def test_pickled_weights_are_refused(saved: Path) -> None:
    (saved / "model.safetensors").unlink()
    torch.save(tiny_model("llama").state_dict(), saved / "pytorch_model.bin")
    with pytest.raises(DataError, match="Only safetensors are"):
        load_model(saved)


def test_a_torn_file_is_refused(saved: Path) -> None:
    file = saved / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(DataError, match="cannot be read"):
        load_model(saved)


def test_missing_weights_are_not_left_random(saved: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(saved / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, saved / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(
        DataError, match=r"1 weights of LlamaForCausalLM are missing .*'model\.layers\.1\.mlp\.up_proj\.weight'"
    ):
        load_model(saved)


def test_wrong_dtype_and_device(saved: Path) -> None:
    with pytest.raises(ConfigError, match="dtype is 'half-ish'"):
        load_model(saved, dtype="half-ish")
    with pytest.raises(ConfigError, match="device is 'gpu'; it must be"):
        load_model(saved, device="gpu")
    if not torch.backends.mps.is_available():
        with pytest.raises(BackendError, match="sees no mps here; give 'cpu'"):
            load_model(saved, device="mps")


@pytest.mark.parametrize("arch", ["llama", "gemma"])  # gemma's head is tied
def test_a_model_and_its_folder_have_one_hash_however_it_is_sharded(arch: str, tmp_path: Path) -> None:
    model = tiny_model(arch)
    model.save_pretrained(tmp_path / "one")
    model.save_pretrained(tmp_path / "many", max_shard_size="60KB")
    assert len(list((tmp_path / "many").glob("*.safetensors"))) > 1
    live = weights_hash(model)
    assert live == weights_hash(tmp_path / "one") == weights_hash(str(tmp_path / "many"))
    assert live == weights_hash(tmp_path / "one" / "model.safetensors")


def test_the_hash_follows_every_weight_and_nothing_else(tmp_path: Path) -> None:
    model = tiny_model("llama")
    before = weights_hash(model)
    assert before != weights_hash(tiny_model("llama", seed=1))
    assert before != weights_hash(tiny_model("llama").to(torch.bfloat16))
    model.save_pretrained(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    (tmp_path / "b" / "config.json").touch()
    assert weights_hash(tmp_path / "b") == before
    with torch.no_grad():
        model.model.layers[1].input_layernorm.weight[3] += 1e-6
    assert weights_hash(model) != before
