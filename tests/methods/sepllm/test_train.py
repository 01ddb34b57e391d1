"""Training from the command line's side: resumed, saved with its options, and compared fairly."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import Trainer, TrainerCallback
from typer.testing import CliRunner

from tenon.core.config import load
from tenon.core.errors import ConfigError, DataError, TenonError
from tenon.core.files import fingerprints
from tenon.core.models.loading import load_model, load_tokenizer
from tenon.core.models.tiny import tiny_model
from tenon.core.run import VOLATILE, Run
from tenon.core.training.config import TrainConfig
from tenon.methods.sepllm import ablate as ablation
from tenon.methods.sepllm.ablate import AblateConfig, ablate, cut_rows, held_out_loss, plan_rules
from tenon.methods.sepllm.ablate_table import compare_losses, verdicts
from tenon.methods.sepllm.cli import app
from tenon.methods.sepllm.config import LayerRule, SepConfig
from tenon.methods.sepllm.model import apply_sepllm
from tenon.methods.sepllm.share import attention_map_pct
from tenon.methods.sepllm.train import (
    TRAIN_PRESETS,
    Shape,
    TrainSettings,
    fresh_model,
    pack_text,
    train_under_mask,
)

SHAPE = Shape(layers=2, hidden=32, intermediate=64, heads=2)
TRAIN = TrainConfig(steps=3, batch_size=2, learning_rate=1e-2, log_every=1, save_every=1, device="cpu")
SETTINGS = TrainSettings(
    sep=SepConfig(window=6, separators=(".", ",")), train=TRAIN, shape=SHAPE, row=48, valid_tokens=96
)
COMPARED = AblateConfig(
    rules=("full", "sep"), windows=(4,), seeds=2, sep=SETTINGS.sep, shape=SHAPE, train=replace(TRAIN, steps=2), row=48,
    text_tokens=600, valid_tokens=200,
)  # fmt: skip


class Killed(BaseException):
    """Like a kill: nothing catches it."""


class KillAt(TrainerCallback):
    """Stop the process when a step has ended and is saved."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == self.step:
            raise Killed


def from_scratch(path: Path, tokenizer: Any, text: Any) -> Any:
    with Run.open(path, config=SETTINGS) as run:
        model = fresh_model(SHAPE, tokenizer, context=48, seed=0)
        return train_under_mask(run, model, tokenizer, text(48, rows=5), SETTINGS), run.metrics()


def test_a_killed_training_goes_on_to_the_same_weights(
    tmp_path: Path, tokenizer: Any, text: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, metrics = from_scratch(tmp_path / "whole", tokenizer, text)
    with monkeypatch.context() as patch:
        begin = Trainer.__init__

        def killing(self: Any, *args: Any, **options: Any) -> None:
            begin(self, *args, callbacks=[KillAt(2)], **options)

        patch.setattr(Trainer, "__init__", killing)
        with pytest.raises(Killed):
            from_scratch(tmp_path / "broken", tokenizer, text)
    assert not (tmp_path / "broken" / "model").exists()
    resumed, again = from_scratch(tmp_path / "broken", tokenizer, text)
    assert [line["step"] for line in metrics] == [1, 2, 3]
    assert metrics == again
    assert (folder / "model.safetensors").read_bytes() == (resumed / "model.safetensors").read_bytes()
    # What is finished is not done again.
    before = (resumed / "model.safetensors").stat().st_mtime_ns
    from_scratch(tmp_path / "broken", tokenizer, text)
    assert (resumed / "model.safetensors").stat().st_mtime_ns == before


def test_the_saved_model_comes_back_with_its_options_and_its_cache(tmp_path: Path, tokenizer: Any, text: Any) -> None:
    folder, _ = from_scratch(tmp_path / "run", tokenizer, text)
    loaded, reader = load_model(folder), load_tokenizer(folder)
    assert not (folder / "training_args.bin").exists()
    assert loaded.config.use_cache  # training had turned it off
    assert loaded.generation_config.use_cache is not False
    ids = text(40, seed=3)
    with torch.no_grad():
        plain = loaded(ids).logits
        with apply_sepllm(loaded, reader) as applied:
            assert applied.config == SETTINGS.sep
            masked = loaded(ids).logits
    assert not torch.allclose(plain, masked)


@pytest.mark.slow
def test_two_processes_train_as_one_with_twice_the_batch(tmp_path: Path) -> None:
    sizes = ["layers=2", "hidden=32", "intermediate=64", "heads=2"]
    train = ["steps=4", "save_every=2", "precision=fp32", "device=cpu", "log_every=1"]
    sets = [f"shape.{one}" for one in sizes] + [f"train.{one}" for one in train] + ["row=64", "sep.window=8"]
    work = ["-m", "tenon", "sepllm", "train", "--from-scratch", "--text", "python-docs"]
    work += [part for one in sets for part in ("--set", one)]
    two = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", *work, "--set", "train.batch_size=2"]
    one = [sys.executable, *work, "--set", "train.batch_size=4"]

    def trained(command: list[str], name: str) -> list[dict[str, Any]]:
        done = subprocess.run([*command, "--out", tmp_path / name], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("training loss at the end") == 1  # one process tells
        return [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]

    expected, found = trained(one, "one"), trained(two, "two")
    assert [line["step"] for line in found] == [1, 2, 3, 4]
    assert [line["loss"] for line in found] == pytest.approx([line["loss"] for line in expected], rel=1e-6)
    # As if both had been killed when the second half was under way.
    whole = (tmp_path / "two" / "model" / "model.safetensors").read_bytes()
    shutil.rmtree(tmp_path / "two" / "model")
    shutil.rmtree(tmp_path / "two" / "checkpoints" / "checkpoint-4")
    (tmp_path / "two" / "stages.json").unlink()
    assert trained(two, "two") == found
    assert (tmp_path / "two" / "model" / "model.safetensors").read_bytes() == whole


def test_a_saved_model_is_trained_on(tmp_path: Path, tokenizer: Any, text: Any) -> None:
    tiny_model("gpt_neox").save_pretrained(tmp_path / "given")
    model, settings = load_model(tmp_path / "given"), replace(SETTINGS, sep=SepConfig(window=4, separators=(".",)))
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    with Run.open(tmp_path / "run", config=settings) as run:
        folder = train_under_mask(run, model, tokenizer, text(48, rows=4), settings)
    trained = load_model(folder)
    assert trained.config.model_type == "gpt_neox"
    assert any(not torch.equal(weight, before[name]) for name, weight in trained.named_parameters())
    with apply_sepllm(trained, tokenizer) as applied:
        assert applied.config == settings.sep


def test_fresh_models_are_equal_by_seed_and_of_the_shape_asked_for(tokenizer: Any) -> None:
    one, same, other = (fresh_model(SHAPE, tokenizer, context=48, seed=seed) for seed in (1, 1, 2))
    weights = [model.get_input_embeddings().weight for model in (one, same, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    pythia = fresh_model(replace(SHAPE, architecture="gpt_neox", tied=False), tokenizer, context=48, seed=0)
    assert pythia.config.model_type == "gpt_neox"
    assert pythia.config.use_parallel_residual
    assert pythia.config.rope_parameters["partial_rotary_factor"] == 0.25
    assert pythia.get_output_embeddings().weight is not pythia.get_input_embeddings().weight


def test_documents_are_packed_end_to_end(tmp_path: Path, tokenizer: Any) -> None:
    (tmp_path / "two.jsonl").write_text('{"text": "abc."}\n{"text": "defg"}\n')
    rows = pack_text(tokenizer, tmp_path / "two.jsonl", row=4, most=10)
    assert tokenizer.convert_ids_to_tokens(rows.flatten().tolist()) == ["<bos>", "a", "b", "c", ".", "<bos>", "d", "e"]
    with pytest.raises(DataError, match="fewer than 99 tokens"):
        pack_text(tokenizer, tmp_path / "two.jsonl", row=99, most=1)


def test_papers_presets_are_the_papers() -> None:
    one = TRAIN_PRESETS["paper-160m-n64"]
    assert one.train.batch_size * one.train.accumulation == 1024
    assert (one.train.warmup_steps, one.train.learning_rate * one.train.min_lr_ratio) == (1430, pytest.approx(6e-5))
    assert TRAIN_PRESETS["paper-160m-n64-hmt"].sep.full_indices(12) == {0, 5, 11}


# The ablation.


def test_rows_have_every_token_of_the_text_as_a_target(tokenizer: Any) -> None:
    rows = cut_rows(tokenizer, torch.arange(40, 60), 8)
    assert rows[:, 0].tolist() == [tokenizer.bos_token_id] * 2
    assert rows[:, 1:].flatten().tolist() == list(range(40, 54))
    with pytest.raises(DataError, match="3 tokens, but a row has 8"):
        cut_rows(tokenizer, torch.arange(3), 8)


def test_controls_see_as_much_as_sepllm(text: Any, tokenizer: Any) -> None:
    config = replace(COMPARED, rules=("full", "sep", "streaming", "streaming_equal", "fixed", "head_tail"))
    is_sep = torch.isin(text(48, rows=40), torch.tensor(tokenizer.convert_tokens_to_ids([".", ","])))
    planned = plan_rules(config, is_sep)
    assert planned["full", None].is_off
    share = attention_map_pct(is_sep, [LayerRule(init=3, window=4)])
    equal = planned["streaming_equal", 4].window
    assert isinstance(equal, int)
    below, above = (
        attention_map_pct(torch.zeros_like(is_sep), [LayerRule(init=3, window=size)]) for size in (equal - 1, equal)
    )
    assert below < share <= above
    assert planned["fixed", 4].interval == round(1 / float(is_sep.float().mean()))
    assert planned["head_tail", 4].full_indices(4) == {0, 3}
    assert planned["streaming", 4] == replace(config.sep, window=4, separators="none")


def test_held_out_loss_is_that_of_the_model_under_the_mask(text: Any, tokenizer: Any) -> None:
    model, rows, rule = tiny_model("llama"), text(30, rows=5), LayerRule(init=3, window=6)
    found = held_out_loss(model, tokenizer, SETTINGS.sep, rows, batch_size=2)
    with apply_sepllm(model, tokenizer, SETTINGS.sep) as applied, torch.no_grad():
        assert found["loss"] == pytest.approx(float(model(rows, labels=rows).loss), rel=1e-5)
        is_sep = applied.separators[rows]
    assert found["attention_map_pct"] == pytest.approx(attention_map_pct(is_sep, [rule]))
    num_bytes = len(str(tokenizer.decode(rows[:, 1:].flatten())).encode())
    bits = found["loss"] * rows[:, 1:].numel() / torch.log(torch.tensor(2.0)).item()
    assert found["bits_per_byte"] == pytest.approx(bits / num_bytes)
    head = held_out_loss(model, tokenizer, replace(SETTINGS.sep, full_layers="head"), rows)
    assert head["attention_map_pct"] == pytest.approx((100 + found["attention_map_pct"]) / 2)
    every = held_out_loss(model, tokenizer, SepConfig(separators="none", interval=5, window=6), rows)
    position = torch.arange(30) - 3
    kept = ((position >= 0) & (position % 5 == 4)).expand(5, 30)
    assert every["attention_map_pct"] == pytest.approx(attention_map_pct(kept, [rule]))


def compare(path: Path, tokenizer: Any, text: Any, config: AblateConfig = COMPARED) -> dict[str, Any]:
    with Run.open(path, config=config) as run:
        figures = ablate(
            run, tokenizer, config, text(600)[0], text(200, seed=1)[0], text_name="text", valid_name="other text"
        )
        run.report("Masks compared")
    return figures


def test_an_ablation_killed_between_two_trainings_goes_on_to_the_same_files(
    tmp_path: Path, tokenizer: Any, text: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = compare(tmp_path / "whole", tokenizer, text)
    assert [row["mask"] for row in whole["masks"]] == ["full attention", "SepLLM"]
    assert [row["key"] for row in whole["trainings"]] == ["full-all-0", "sep-4-0", "full-all-1", "sep-4-1"]
    assert whole["masks"][0]["attention map [%]"] == 100 > whole["masks"][1]["attention map [%]"]
    assert set(whole["trainings"][0]["training_free"]) == {"sep-4"}
    begun, count = ablation.train_under_mask, 0

    def killing(*args: Any, **options: Any) -> Path:
        nonlocal count
        count += 1
        if count == 3:
            raise Killed
        return begun(*args, **options)

    monkeypatch.setattr(ablation, "train_under_mask", killing)
    with pytest.raises(Killed):
        compare(tmp_path / "broken", tokenizer, text)
    assert compare(tmp_path / "broken", tokenizer, text) == whole
    assert count == 3 + 2
    files = [
        {name: digest for name, digest in fingerprints(tmp_path / run).items() if Path(name).name not in VOLATILE}
        for run in ("whole", "broken")
    ]
    assert files[0] == files[1]
    assert not any("checkpoint" in name or "safetensors" in name for name in files[0])


def test_trainings_of_one_seed_begin_alike_and_read_alike(tmp_path: Path, tokenizer: Any, text: Any) -> None:
    """With a window as long as the row, SepLLM is full attention: the trainings of a seed are then the same."""
    config = replace(COMPARED, windows=(48,))
    rows = {row["key"]: row for row in compare(tmp_path / "run", tokenizer, text, config)["trainings"]}
    for seed in (0, 1):
        assert rows[f"sep-48-{seed}"]["loss"] == pytest.approx(rows[f"full-all-{seed}"]["loss"], abs=1e-6)
    assert abs(rows["sep-48-0"]["loss"] - rows["sep-48-1"]["loss"]) > 1e-3


def scores(rule: str, window: int | None, *losses: float) -> list[dict[str, Any]]:
    return [
        {"rule": rule, "window": window, "seed": seed, "loss": loss, "bits_per_byte": loss, "attention_map_pct": 50.0}
        for seed, loss in enumerate(losses)
    ]


def test_differences_are_paired_by_seed_and_verdicts_follow_their_intervals() -> None:
    trainings = (
        scores("full", None, 5.0, 6.0, 7.0) + scores("sep", 16, 5.1, 6.1, 7.1) + scores("streaming", 16, 5.5, 6.1, 6.8)
    )
    masks = {row["rule"]: row for row in compare_losses(trainings[::-1])}
    assert masks["sep"]["minus full"] == pytest.approx(0.1)
    assert masks["sep"]["minus full, high"] == pytest.approx(0.1)  # the seeds differ, the pairs do not
    worse, unknown = verdicts(list(masks.values()))
    assert worse.startswith("Window 16: SepLLM is worse than full attention (loss higher by 0.1000")
    assert unknown.startswith("Window 16: uninformative. SepLLM and StreamingLLM, equal window cannot be told apart")
    better = compare_losses(scores("sep", 8, 5.0, 6.0) + scores("streaming", 8, 5.2, 6.21))
    assert verdicts(better)[0].startswith("Window 8: SepLLM is better than StreamingLLM, equal window")


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (["rules=sep,streeming"], "'streeming'.*did you mean 'streaming'"),
        (["rules=full,streaming"], "with 'sep' among them"),
        (["windows=16,0"], "1 or more each"),
        (["windows=16,16"], "each once"),
        (["seeds=1"], "2 or more: an interval needs several"),
        (["sep.separators=none"], "with separators"),
        (["valid_tokens=100"], "as long as one row"),
        (["shape.heads=3"], "a divisor of hidden"),
    ],
)
def test_bad_ablations_are_refused(sets: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(AblateConfig, sets=sets)


def test_a_text_without_separators_is_refused(tmp_path: Path, tokenizer: Any) -> None:
    ids = torch.full((600,), 70)
    with Run.open(tmp_path, config=COMPARED) as run, pytest.raises(DataError, match="No token of the training text"):
        ablate(run, tokenizer, COMPARED, ids, ids, text_name="text", valid_name="text")


# The commands.


def call(*words: str) -> Any:
    return CliRunner().invoke(app, list(words), catch_exceptions=True)


def test_the_commands_train_score_and_compare(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("It was late, and cold. He went on, alone, to the sea.\n" * 40)
    (tmp_path / "valid.txt").write_text("She came back, in the end. It was spring, and warm.\n" * 40)
    small = ["shape.layers=1", "shape.hidden=16", "shape.intermediate=16", "shape.heads=2", "train.steps=2", "row=32"]
    small += ["train.batch_size=2", "train.log_every=1", "train.warmup_steps=0", "valid_tokens=128", "train.device=cpu"]
    texts = ["--text", str(tmp_path / "text.txt"), "--valid", str(tmp_path / "valid.txt")]
    options = [word for setting in small for word in ("--set", setting)]
    trained = call("train", "--from-scratch", *texts, *options, "--out", str(tmp_path / "train"), "--json")
    assert trained.exit_code == 0, trained.exception
    told = json.loads(trained.stdout)
    assert told["loss"] > 0
    with apply_sepllm(load_model(told["model"]), load_tokenizer(told["model"])) as applied:
        assert applied.config.window == 64
    results = tmp_path / "results.json"
    sets = ["--set", "seeds=2", "--set", "windows=4", "--set", "text_tokens=400"]
    words = ["ablate", *texts, *options, *sets, "--out", str(tmp_path / "ablate"), "--results", str(results), "--json"]
    compared = call(*words)
    assert compared.exit_code == 0, compared.exception
    assert json.loads(results.read_text())["verdicts"] == json.loads(compared.stdout)["verdicts"]
    assert len(json.loads(results.read_text())["trainings"]) == 6
    short = call(
        "train", "--from-scratch", *texts, *options, "--set", "valid_tokens=100000", "--out", str(tmp_path / "x")
    )
    assert isinstance(short.exception, DataError)
    assert not (tmp_path / "x").exists()  # what cannot work leaves no run behind


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "neither --model nor --from-scratch"),
        (["--model", "nano-lm", "--from-scratch"], "both --model and --from-scratch"),
        (["--model", "nano-lm", "--tokenizer", "other"], "keeps its own"),
        (["--model", "nano-lm", "--set", "row=4096", "--set", "valid_tokens=4096"], "knows 2048 positions"),
        (["--from-scratch", "--preset", "smal"], "did you mean 'small'"),
    ],
)
def test_bad_trainings_are_refused(tmp_path: Path, words: list[str], message: str) -> None:
    refused = call("train", "--text", "python-docs", "--out", str(tmp_path / "run"), *words)
    assert isinstance(refused.exception, TenonError)
    assert message in str(refused.exception)
    assert not (tmp_path / "run").exists()
