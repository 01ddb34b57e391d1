"""The seam to trl: each of its habits that would mistrain pairs, shown on stock trl, and what ours does instead."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DataCollatorForPreference, DPOTrainer

from tenon.core.errors import ConfigError, DataError, UnsupportedVersion
from tenon.core.files import fingerprints
from tenon.core.models.tiny import tiny_model, tiny_tokenizer
from tenon.core.run import VOLATILE, Run
from tenon.core.training.adapters import lora_config
from tenon.core.training.config import TrainConfig
from tenon.core.training.loop import checkpoint_folder, save_model, train
from tenon.core.training.preference import (
    METRICS,
    PreferenceTrainer,
    Scored,
    SupervisedTrainer,
    check_trl,
    dpo_arguments,
    sft_arguments,
)
from tenon.core.training.rows import step_order

stock_warnings = pytest.mark.filterwarnings("ignore::FutureWarning")  # trl asks transformers for older names

TRAIN = TrainConfig(
    steps=4, batch_size=4, learning_rate=1e-3, weight_decay=0.0, log_every=1, save_every=2, device="cpu"
)
EOS = 2


def ids(count: int, seed: int) -> list[int]:
    return torch.randint(5, 120, (count,), generator=torch.Generator().manual_seed(seed)).tolist()


ROWS: list[dict[str, Any]] = [
    {
        "prompt_ids": ids(3 + i % 5, i),
        "chosen_ids": ids(2 + i % 4, 50 + i),
        "rejected_ids": ids(2 + i % 3, 90 + i),
        "weight": i,
    }
    for i in range(12)
]


def trainer_of(
    folder: Path, config: TrainConfig = TRAIN, *, precompute: bool = True, **options: Any
) -> PreferenceTrainer:
    model = options.pop("model", None) or tiny_model("llama")
    rows = options.pop("rows", ROWS)
    arguments = dpo_arguments(config, folder, beta=0.4, precompute_reference=precompute)
    return PreferenceTrainer(model, arguments, tiny_tokenizer(), rows, **options)


def stock(
    folder: Path, texts: list[dict[str, str]], *, model: Any = None, ref: bool = True, **options: Any
) -> DPOTrainer:
    model = model or tiny_model("llama")
    base: dict[str, Any] = {
        "output_dir": str(folder),
        "max_steps": 2,
        "report_to": "none",
        "use_cpu": True,
        "bf16": False,
    }
    arguments = DPOConfig(**base | options)
    reference = copy.deepcopy(model) if ref else None
    return DPOTrainer(
        model, reference, arguments, train_dataset=Dataset.from_list(texts), processing_class=tiny_tokenizer()
    )


def losses(trainer: Any) -> list[float]:
    return [line["loss"] for line in trainer.state.log_history if "loss" in line]


def weights(model: Any) -> torch.Tensor:
    return torch.cat([weight.detach().flatten() for weight in model.parameters()])


# The traps of section 4.2, by number.


@stock_warnings
def test_trap_1_sft_is_a_mean_over_the_tokens_of_a_batch(tmp_path: Path) -> None:
    assert not hasattr(DPOConfig, "rpo_alpha")
    rows = [{"prompt": "ab", "chosen": "c", "rejected": "d"}, {"prompt": "ab", "chosen": "cdefghijk", "rejected": "d"}]
    trainer = stock(tmp_path, rows, loss_type=["sft"], per_device_train_batch_size=2)
    batch = trainer.data_collator([trainer.train_dataset[row] for row in range(2)])
    logps = (
        trainer.model(**{k: batch[k] for k in ("input_ids", "attention_mask")}).logits[:2, :-1].detach().log_softmax(-1)
    )
    picked = logps.gather(2, batch["input_ids"][:2, 1:, None])[..., 0]
    mask = batch["completion_mask"][:2, 1:]
    found = float(trainer.compute_loss(trainer.model, batch).detach())
    assert found == pytest.approx(float(-(picked * mask).sum() / mask.sum()), abs=1e-5)
    per_sequence = float((-(picked * mask).sum(1) / mask.sum(1)).mean())
    assert abs(found - per_sequence) > 0.1  # 2 and 10 tokens with EOS: the long one dominates


@stock_warnings
def test_trap_2_eos_is_put_behind_every_text(tmp_path: Path) -> None:
    trainer = stock(tmp_path, [{"prompt": "Step 1:", "chosen": " a", "rejected": " b"}])
    row = trainer.train_dataset[0]
    assert row["chosen_ids"][-1] == row["rejected_ids"][-1] == EOS
    for ours, given in zip(trainer_of(tmp_path).train_dataset.dataset, ROWS, strict=True):
        assert {name: ours[name] for name in given} == given


@stock_warnings
def test_trap_3_rows_are_cut_at_their_end_or_dropped(tmp_path: Path) -> None:
    assert DPOConfig(str(tmp_path), bf16=False, use_cpu=True).max_length == 1024
    assert DPOConfig(str(tmp_path), bf16=False, use_cpu=True).truncation_mode == "keep_start"
    texts = [
        {"prompt": "abcdef", "chosen": "gh1", "rejected": "gh2"},
        {"prompt": "a" * 9, "chosen": "b", "rejected": "c"},
    ]
    trainer = stock(tmp_path, texts, max_length=9)
    assert len(trainer.train_dataset) == 1  # without a word
    chosen, rejected = trainer.data_collator([trainer.train_dataset[0]])["input_ids"].tolist()
    assert chosen == rejected  # what differed was cut off
    long = [{"prompt_ids": ids(1100, 0), "chosen_ids": ids(9, 1), "rejected_ids": ids(7, 2)}]
    ours = trainer_of(tmp_path, rows=long, precompute=False)
    batch = ours.data_collator([ours.train_dataset[0]])
    assert batch["input_ids"].shape == (2, 1109)
    assert batch["completion_mask"].sum(1).tolist() == [9, 7]


@stock_warnings
def test_trap_4_further_columns_reach_the_loss(tmp_path: Path) -> None:
    texts = [{"prompt": "a", "chosen": "b", "rejected": "c", "weight": 3}]
    trainer = stock(tmp_path, texts)
    assert "weight" not in next(iter(trainer.get_train_dataloader()))
    seen: list[Scored] = []

    class Watching(PreferenceTrainer):
        def further_loss(self, scored: Scored) -> float:
            seen.append(scored)
            return 0.0

    arguments = dpo_arguments(replace(TRAIN, steps=1), tmp_path, beta=0.4)
    Watching(tiny_model("llama"), arguments, tiny_tokenizer(), ROWS, order=[5, 0, 7, 11]).train()
    (one,) = seen
    assert set(one.extras) == {"weight"}
    assert one.extras["weight"].tolist() == [5, 0, 7, 11]
    assert one.chosen_mask.sum(1).tolist() == [len(ROWS[row]["chosen_ids"]) for row in (5, 0, 7, 11)]


def test_trap_5_chosen_sides_come_first_padded_on_the_right() -> None:
    rows = [
        {"prompt_ids": [1, 2, 3], "chosen_ids": [4, 5], "rejected_ids": [6]},
        {"prompt_ids": [7, 8], "chosen_ids": [9], "rejected_ids": [10, 11]},
    ]
    batch = DataCollatorForPreference(pad_token_id=0)(rows)
    assert batch["input_ids"].tolist() == [[1, 2, 3, 4, 5], [7, 8, 9, 0, 0], [1, 2, 3, 6, 0], [7, 8, 10, 11, 0]]
    assert batch["completion_mask"].tolist() == [[0, 0, 0, 1, 1], [0, 0, 1, 0, 0], [0, 0, 0, 1, 0], [0, 0, 1, 1, 0]]


@stock_warnings
def test_trap_6_bf16_and_checkpointing_are_said_outright(tmp_path: Path) -> None:
    defaults = DPOConfig(str(tmp_path), use_cpu=True)
    assert defaults.bf16
    assert defaults.gradient_checkpointing
    for make in (
        lambda config: dpo_arguments(config, tmp_path, beta=0.1),
        lambda config: sft_arguments(config, tmp_path),
    ):
        ours = make(TRAIN)
        assert not ours.bf16
        assert not ours.gradient_checkpointing
        assert ours.max_length is None
        assert ours.report_to == []
        assert make(replace(TRAIN, gradient_checkpointing=True)).gradient_checkpointing
        assert make(replace(TRAIN, precision="bf16")).bf16


@stock_warnings
def test_trap_7_the_reference_is_what_was_handed_over(tmp_path: Path) -> None:
    texts = [{"prompt": "ab", "chosen": "c", "rejected": "d"}]
    with pytest.raises((OSError, ValueError)):  # there is no checkpoint of a model built in process
        stock(tmp_path / "a", texts, ref=False)
    tiny_model("llama").save_pretrained(tmp_path / "model")
    from transformers import AutoModelForCausalLM

    def changed() -> Any:
        model = AutoModelForCausalLM.from_pretrained(tmp_path / "model", dtype=torch.float32)
        torch.nn.init.zeros_(model.model.layers[1].mlp.down_proj.weight)
        return model

    trainer = stock(tmp_path / "b", texts, model=changed(), ref=False)
    batch = trainer.data_collator([trainer.train_dataset[0]])
    assert (
        abs(float(trainer.compute_loss(trainer.model, batch).detach()) - 0.693147) > 1e-3
    )  # silently another reference
    for precompute in (True, False):
        ours = trainer_of(tmp_path / "c", model=changed(), precompute=precompute)
        ours.train()
        assert losses(ours)[0] == pytest.approx(0.693147, abs=2e-6)  # sums of log-probabilities in fp32
        assert losses(ours)[-1] != pytest.approx(0.693147, abs=1e-3)


@stock_warnings
def test_trap_8_a_prompt_may_lose_more_than_a_token_unseen(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    merges = [("a", "b"), ("c", "d"), ("ab", "cd")]
    words = ["<eos>", "a", "b", "c", "d", "x", "ab", "cd", "abcd"]
    core = Tokenizer(models.BPE({word: place for place, word in enumerate(words)}, merges))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<eos>", pad_token="<eos>")
    arguments = DPOConfig(str(tmp_path), max_steps=1, report_to="none", use_cpu=True, bf16=False)
    rows = Dataset.from_list([{"prompt": "xabc", "chosen": "d", "rejected": "x"}])
    model = tiny_model("llama")
    trainer = DPOTrainer(model, copy.deepcopy(model), arguments, train_dataset=rows, processing_class=tokenizer)
    assert tokenizer("xabc")["input_ids"] == [5, 6, 3]
    assert trainer.train_dataset[0]["prompt_ids"] == [5]  # two of the prompt's three tokens are gone


# The reference.


def test_precomputed_copied_and_kept_references_are_one(tmp_path: Path) -> None:
    file = tmp_path / "reference.safetensors"
    trainers = [
        trainer_of(tmp_path, reference_file=file),
        trainer_of(tmp_path, reference_file=file),  # finds the file
        trainer_of(tmp_path),
    ]
    for one in trainers:
        one.train()
    assert len({tuple(losses(one)) for one in trainers}) == 1  # bitwise
    assert torch.equal(weights(trainers[0].model), weights(trainers[1].model))
    copied = trainer_of(tmp_path, precompute=False)
    copied.train()
    assert losses(copied) == pytest.approx(losses(trainers[0]), abs=1e-5)  # batches of other rows, fp32
    assert trainers[0].ref_model is None
    assert copied.ref_model is not copied.model
    assert not any(weight.requires_grad for weight in copied.ref_model.parameters())


def test_the_file_is_read_and_not_only_written(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    file = tmp_path / "reference.safetensors"
    trainer_of(tmp_path, reference_file=file)
    logps = load_file(file)["logps"]
    save_file({"logps": logps + torch.tensor([1.0, 0.0])}, file)
    one = trainer_of(tmp_path, reference_file=file)
    one.train()
    assert losses(one)[0] == pytest.approx(float(-torch.nn.functional.logsigmoid(torch.tensor(-0.4))), abs=1e-5)
    save_file({"logps": logps[:3]}, file)
    with pytest.raises(DataError, match="3 pairs, not of 12; delete it"):
        trainer_of(tmp_path, reference_file=file)


def test_adapters_are_measured_against_the_model_without_them(tmp_path: Path) -> None:
    def adapted(precompute: bool) -> PreferenceTrainer:
        model = tiny_model("llama")
        adapters = lora_config(model, rank=4, alpha=8, targets=["q_proj", "down_proj"])
        return trainer_of(tmp_path, model=model, adapters=adapters, precompute=precompute)

    first, second = adapted(True), adapted(False)
    base = {name: value.clone() for name, value in first.model.state_dict().items() if "lora" not in name}
    first.train()
    second.train()
    assert losses(first)[0] == pytest.approx(0.693147, abs=2e-6)
    assert losses(first) == pytest.approx(losses(second), abs=1e-5)
    assert abs(losses(second)[-1] - losses(second)[0]) > 1e-4
    assert "ref" not in first.model.peft_config  # no second set of adapters to train, save and merge
    for name, value in base.items():
        assert torch.equal(first.model.state_dict()[name], value), name


def test_layers_for_adapters_are_checked() -> None:
    model = tiny_model("llama")
    with pytest.raises(ConfigError, match="'attention' names no layer; give all-linear, or some of down_proj"):
        lora_config(model, rank=4, alpha=8, targets=["attention"])
    with pytest.raises(ConfigError, match="'lm_head' is the output layer"):
        lora_config(model, rank=4, alpha=8, targets=["q_proj", "lm_head"])
    lora_config(model, rank=4, alpha=8, targets=["q_proj", "lm_head"], may_have_head=True)


def test_nothing_is_written_outside_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any, **__: Any) -> Any:
        raise AssertionError("the machine's caches are not ours")

    for name in ("map", "filter", "_get_cache_file_path"):
        monkeypatch.setattr(Dataset, name, refused)
    monkeypatch.setattr("trl.trainer.base_trainer.send_telemetry", refused)
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.chdir(tmp_path)
    trainer = trainer_of(tmp_path / "run", reference_file=tmp_path / "run" / "reference.safetensors")
    trainer.train()
    assert {path.name for path in tmp_path.iterdir()} == {"run"}
    assert {path.name for path in (tmp_path / "run").iterdir()} == {
        "checkpoint-2",
        "checkpoint-4",
        "reference.safetensors",
    }
    assert not list(tmp_path.rglob("README.md"))


def test_the_tokenizer_is_not_changed(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.pad_token = None
    arguments = dpo_arguments(TRAIN, tmp_path, beta=0.4)
    PreferenceTrainer(tiny_model("llama"), arguments, tokenizer, ROWS).train()
    assert tokenizer.pad_token is None


# Training.


def test_further_terms_are_trained_with_one_forward_pass(tmp_path: Path) -> None:
    class Pulling(PreferenceTrainer):
        def further_loss(self, scored: Scored) -> torch.Tensor:
            self.tally("even", scored.extras["weight"].float(), scored.extras["weight"] % 2 == 0)
            return -scored.chosen.sum(dim=1).mean()

    arguments = dpo_arguments(TRAIN, tmp_path, beta=0.4)
    one = Pulling(tiny_model("llama"), arguments, tiny_tokenizer(), ROWS, order=[*range(12), 0, 1, 2, 3])
    calls: list[int] = []
    one.model.model.register_forward_hook(lambda *_: calls.append(1))
    one.train()
    assert len(calls) == 4
    figures = [line for line in one.state.log_history if "loss" in line]
    assert [line["even"] for line in figures] == [1, 5, 9, 1]  # means of 0, 2; 4, 6; 8, 10; 0, 2
    assert figures[-1]["logps/chosen"] > figures[0]["logps/chosen"] + 5  # the same rows, likelier by far
    plain = trainer_of(tmp_path, order=[*range(12), 0, 1, 2, 3])
    plain.train()
    assert figures[0]["loss"] > losses(plain)[0] + 1
    assert figures[0]["rewards/margins"] == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("precompute", [True, False])
def test_one_step_of_eight_equals_eight_accumulated(tmp_path: Path, precompute: bool) -> None:
    whole = trainer_of(tmp_path, replace(TRAIN, batch_size=8), precompute=precompute)
    parts = trainer_of(tmp_path, replace(TRAIN, batch_size=1, accumulation=8), precompute=precompute)
    for one in (whole, parts):
        one.train()
    found, expected = torch.tensor(losses(parts)), torch.tensor(losses(whole))
    assert found.tolist() == pytest.approx(expected.tolist(), abs=1e-5)  # fp32, other padding
    assert abs(float((found - expected).mean())) < 2e-6  # no shift to one side
    assert torch.allclose(weights(parts.model), weights(whole.model), atol=2e-5)  # AdamW's first steps magnify


def test_recomputed_activations_give_the_same_training(tmp_path: Path) -> None:
    plain, again = trainer_of(tmp_path), trainer_of(tmp_path, replace(TRAIN, gradient_checkpointing=True))
    for one in (plain, again):
        one.train()
    assert losses(again) == losses(plain)
    assert torch.equal(weights(again.model), weights(plain.model))


def test_the_order_is_a_function_of_the_seed() -> None:
    lengths = [(7 * i) % 11 for i in range(10)]
    order = step_order(lengths, steps=5, group=4, seed=3)
    assert order == step_order(lengths, steps=5, group=4, seed=3)
    assert order != step_order(lengths, steps=5, group=4, seed=4)
    assert sorted(order) == sorted(list(range(10)) * 2)  # two passes, all rows in each
    assert sorted(order[:8]) != list(range(8))
    for start in range(0, 20, 4):
        step = [lengths[row] for row in order[start : start + 4]]
        assert step == sorted(step)


def test_held_out_pairs_are_scored(tmp_path: Path) -> None:
    one = trainer_of(tmp_path, held_out=ROWS[:5])
    assert one.evaluate()["eval_loss"] == pytest.approx(0.693147, abs=2e-6)
    one.train()
    figures = one.evaluate()
    assert figures["eval_loss"] != pytest.approx(0.693147, abs=1e-3)
    assert "eval_rewards/margins" in figures


def job(
    folder: Path, *, stop_after: int | None = None, precompute: bool = True, config: TrainConfig = TRAIN
) -> dict[str, str]:
    """Train in a run, as a method does; `stop_after` is where a kill comes."""
    with Run.open(folder, config={"job": "pairs"}) as run:
        kept = run.path / "reference.safetensors" if precompute else None
        trainer = trainer_of(checkpoint_folder(run), config, reference_file=kept, precompute=precompute)
        if stop_after is not None:
            step = trainer.training_step

            def stopping(*args: Any, **options: Any) -> Any:
                if trainer.state.global_step == stop_after:
                    raise KeyboardInterrupt
                return step(*args, **options)

            trainer.training_step = stopping
            with pytest.raises(KeyboardInterrupt):
                train(trainer, run, metrics=METRICS)
            return {}
        train(trainer, run, metrics=METRICS)
        save_model(trainer, tiny_tokenizer(), run.path / "model")
        assert set(run.metrics()[0]) == {"step", "loss", "learning_rate", "grad_norm", *METRICS}
    return fingerprints(folder, skip=VOLATILE)


@pytest.mark.parametrize("precompute", [True, False])
@pytest.mark.parametrize("has_file", [True, False])
def test_a_training_that_was_stopped_ends_the_same(tmp_path: Path, precompute: bool, has_file: bool) -> None:
    whole = job(tmp_path / "whole", precompute=precompute)
    job(tmp_path / "stopped", stop_after=3, precompute=precompute)
    if not has_file:
        (tmp_path / "stopped" / "reference.safetensors").unlink(missing_ok=True)
    assert job(tmp_path / "stopped", precompute=precompute) == whole
    assert any("trainer_state.json" in name for name in whole)


def test_figures_are_means_that_no_stop_can_cut(tmp_path: Path) -> None:
    config = replace(TRAIN, steps=7, log_every=3, save_every=2)  # a checkpoint falls between two entries of the metrics
    whole = job(tmp_path / "whole", config=config)
    job(tmp_path / "stopped", stop_after=5, config=config)
    assert job(tmp_path / "stopped", config=config) == whole


def test_supervised_training_learns_completions_alone(tmp_path: Path) -> None:
    texts = [row["prompt_ids"] + row["chosen_ids"] for row in ROWS]
    masks = [[0] * len(row["prompt_ids"]) + [1] * len(row["chosen_ids"]) for row in ROWS]
    rows = [{"input_ids": one, "completion_mask": mask} for one, mask in zip(texts, masks, strict=True)]
    labelled = [
        {"input_ids": one, "labels": [i if m else -100 for i, m in zip(one, mask, strict=True)]}
        for one, mask in zip(texts, masks, strict=True)
    ]
    settings = replace(TRAIN, batch_size=2, accumulation=2)
    order = [*range(12), 0, 1, 2, 3]
    first, second = (
        SupervisedTrainer(tiny_model("llama"), sft_arguments(settings, tmp_path), tiny_tokenizer(), one, order=order)
        for one in (rows, labelled)
    )
    model, total, count = tiny_model("llama"), 0.0, 0
    for row in ROWS[:4]:
        logits = model(torch.tensor([row["prompt_ids"] + row["chosen_ids"]])).logits[0].detach().log_softmax(-1)
        for place, token in enumerate(row["chosen_ids"], len(row["prompt_ids"])):
            total, count = total - float(logits[place - 1, token]), count + 1
    first.train()
    second.train()
    assert losses(first)[0] == pytest.approx(total / count, abs=1e-4)  # a mean over the tokens of the whole step
    assert losses(first) == losses(second)
    assert losses(first)[-1] < losses(first)[0]
    assert not list(tmp_path.rglob("README.md"))


def test_faulty_rows_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no rows"):
        trainer_of(tmp_path, rows=[])
    with pytest.raises(DataError, match="Row 1 has no chosen_ids"):
        trainer_of(tmp_path, rows=[ROWS[0], ROWS[1] | {"chosen_ids": []}])
    with pytest.raises(DataError, match="needs input_ids with labels"):
        SupervisedTrainer(tiny_model("llama"), sft_arguments(TRAIN, tmp_path), tiny_tokenizer(), [{"input_ids": [1]}])


def test_an_unknown_trl_is_refused_in_one_sentence() -> None:
    for version in ("1.16.0", "1.20.3", "1.17.0.dev0"):
        check_trl(version)
    for version in ("1.15.2", "2.0.0", "0.9.6"):
        with pytest.raises(UnsupportedVersion, match=rf"trl {version} is installed; training needs trl>=1.16,<2: pip"):
            check_trl(version)


TORCHRUN = """
import sys
from pathlib import Path
sys.path.insert(0, {root!r})
import torch
from dataclasses import replace
torch.set_num_threads(1)
from tests.core.training.test_preference import ROWS, TRAIN, trainer_of
from tenon.core.run import Run
from tenon.core.training.loop import checkpoint_folder, train
folder, batch, precompute = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "1"
with Run.open(folder, config={{"job": "pairs"}}) as run:
    kept = run.path / "reference.safetensors" if precompute else None
    options = {{"rows": ROWS[:11], "reference_file": kept, "precompute": precompute}}
    one = trainer_of(checkpoint_folder(run), replace(TRAIN, batch_size=batch), **options)
    train(one, run, metrics=("rewards/margins", "rewards/accuracies"))
"""


@pytest.mark.slow
@pytest.mark.parametrize("precompute", ["1", "0"])
def test_two_processes_train_as_one_with_twice_the_batch(tmp_path: Path, precompute: str) -> None:
    root = str(Path(__file__).parents[3])
    (tmp_path / "job.py").write_text(TORCHRUN.format(root=root))
    environment = os.environ | {"PYTHONPATH": root, "OMP_NUM_THREADS": "1"}
    two = ["-m", "torch.distributed.run", "--nproc-per-node", "2"]
    for name, words, batch in (("one", [], "8"), ("two", two, "4")):
        command = [sys.executable, *words, str(tmp_path / "job.py"), str(tmp_path / name), batch, precompute]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        assert done.returncode == 0, done.stderr
    one, both = (
        [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("one", "two")
    )
    for figure in ("loss", "rewards/margins", "rewards/accuracies"):
        assert [line[figure] for line in both] == pytest.approx([line[figure] for line in one], abs=1e-5), figure
    assert len({round(line["loss"], 4) for line in one}) == 4
