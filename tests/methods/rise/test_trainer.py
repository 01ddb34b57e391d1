"""Training on pairs: stock trl where it should be, our own term where it is not, and a run that ends in a model."""

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
from transformers import AutoModelForCausalLM, AutoTokenizer, Trainer
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DPOTrainer

from tenon.core.errors import ConfigError, DataError
from tenon.core.files import fingerprints
from tenon.core.models.tiny import tiny_model, tiny_tokenizer
from tenon.core.run import VOLATILE, Run
from tenon.core.training.config import TrainConfig, training_options
from tenon.methods.rise.config import Recipe, RISEConfig
from tenon.methods.rise.rows import Pair
from tenon.methods.rise.trainer import FIGURES, RISETrainer, train_on_pairs, train_supervised
from tests.methods.rise.pairs import ROWS, TRAIN, logged, trainer_of, weights

STEPS = replace(TRAIN, learning_rate=1e-4, batch_size=2)
ORDER = [3, 1, 4, 0, 5, 2, 6, 7, 1, 0]
TEXTS = [
    {
        "prompt": f"{n} and {n + 3} are ",
        "chosen": f"{2 * n + 3}, so.",
        "rejected": f"{2 * n + 4}, oh no" + "!" * (n % 3),
    }
    for n in range(8)
]
EVEN = [
    {"prompt": f"{n} and ", "chosen": f"{n:02d} it is", "rejected": f"{n + 1:02d} is it" + "!" * (n % 3)}
    for n in range(8)
]


def stock(folder: Path, texts: list[dict[str, str]], **options: Any) -> DPOTrainer:
    """trl as it is, with the same optimiser and the same order; it tokenises and ends the texts itself."""
    arguments = DPOConfig(**training_options(STEPS, folder), beta=0.4, **options)
    arguments.remove_unused_columns = True
    rows = Dataset.from_list([texts[one] for one in ORDER])
    model = tiny_model("llama")
    return DPOTrainer(model, copy.deepcopy(model), arguments, train_dataset=rows, processing_class=tiny_tokenizer())


def ours(folder: Path, texts: list[dict[str, str]], rise: RISEConfig) -> RISETrainer:
    rows = [text | {"is_terminal": True} for text in texts]
    trainer = trainer_of(folder, replace(rise, train=STEPS), rows)
    trainer.train_dataset.indices[:] = ORDER
    return trainer


@pytest.mark.filterwarnings("ignore::FutureWarning")  # trl asks transformers for older names
@pytest.mark.parametrize("share", [True, False])
@pytest.mark.parametrize("precompute", [True, False])
def test_7_05_without_the_nll_it_is_stock_dpo(tmp_path: Path, share: bool, precompute: bool) -> None:
    theirs = stock(tmp_path / "stock", TEXTS)
    rise = RISEConfig(nll_weight=0.0, share_prefix=share, precompute_reference=precompute)
    mine = ours(tmp_path / "ours", TEXTS, rise)
    for one, other in zip(mine.train_dataset, theirs.train_dataset, strict=True):
        for name in ("prompt_ids", "chosen_ids", "rejected_ids"):
            assert one[name] == other[name]
    theirs.train()
    mine.train()
    assert len(logged(mine)) == 5
    assert logged(mine) == pytest.approx(logged(theirs), abs=1e-5)
    assert logged(mine, "rewards/margins") == pytest.approx(logged(theirs, "rewards/margins"), abs=2e-5)
    assert float((weights(mine.model) - weights(theirs.model)).abs().max()) < 1e-5
    assert float((weights(mine.model) - weights(tiny_model("llama"))).abs().max()) > 1e-4


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("weight", [0.5, 1.0])
def test_7_06_the_nll_is_trls_where_lengths_are_equal(tmp_path: Path, weight: float) -> None:
    options: dict[str, Any] = {"loss_type": ["sigmoid", "sft"], "loss_weights": [1.0, weight]}
    rise = RISEConfig(nll_weight=weight, precompute_reference=False)
    theirs, mine = stock(tmp_path / "stock", EVEN, **options), ours(tmp_path / "ours", EVEN, rise)
    theirs.train()
    mine.train()
    assert logged(mine) == pytest.approx(logged(theirs), abs=2e-5)
    assert float((weights(mine.model) - weights(theirs.model)).abs().max()) < 1e-5
    # Elsewhere trl takes the mean over the tokens of the batch, in which long texts count for more.
    texts = [EVEN[0], EVEN[1] | {"chosen": "01 it is, and it is, and it is"}]
    both: list[float] = []
    for trainer in (stock(tmp_path / "stock", texts * 4, **options), ours(tmp_path / "ours", texts * 4, rise)):
        rows = trainer.train_dataset if trainer.__class__ is DPOTrainer else trainer.train_dataset.dataset
        long, short = (
            next(row for row in rows if (len(row["chosen_ids"]) > 20) == is_long) for is_long in (True, False)
        )
        both.append(float(trainer.compute_loss(trainer.model, trainer.data_collator([long, short])).detach()))
    assert abs(both[0] - both[1]) > 1e-2
    logps = []
    for row in (long, short):
        whole = torch.tensor([row["prompt_ids"] + row["chosen_ids"]])
        scores = tiny_model("llama")(whole).logits[0, :-1].detach().log_softmax(-1)
        logps.append(scores.gather(1, whole[0, 1:, None])[-len(row["chosen_ids"]) :, 0])
    by_token, by_row = -torch.cat(logps).mean(), -torch.stack([one.mean() for one in logps]).mean()
    assert both[0] - both[1] == pytest.approx(weight * float(by_token - by_row), abs=2e-5)


@pytest.mark.parametrize("on", ["all", "edit"])
def test_one_step_of_eight_equals_eight_accumulated(tmp_path: Path, on: Any) -> None:
    rise = RISEConfig(nll_on=on, nll_gate="below_ref" if on == "edit" else "none")
    whole, parts = (
        trainer_of(tmp_path, replace(rise, train=replace(TRAIN, batch_size=size, accumulation=8 // size)))
        for size in (8, 1)
    )
    start = weights(whole.model)
    for one in (whole, parts):
        one.train()
    assert logged(parts) == pytest.approx(logged(whole), abs=2e-5)
    residuals = torch.tensor(logged(parts)) - torch.tensor(logged(whole))
    assert abs(float(residuals.mean())) < 1e-5  # no shift to one side
    moved = (weights(whole.model) - start).norm()
    assert float((weights(parts.model) - weights(whole.model)).norm() / moved) < 1e-3
    for name in FIGURES:
        if not name.startswith("accuracies"):  # of margins that are all but zero at the start
            assert logged(parts, name) == pytest.approx(logged(whole, name), abs=5e-5), name


@pytest.mark.parametrize("loss", ["sigmoid", "ipo", "robust", "sigmoid_norm", "hinge"])
def test_every_loss_of_the_options_trains(tmp_path: Path, loss: Any) -> None:
    trainer = trainer_of(tmp_path, RISEConfig(loss=loss, label_smoothing=0.1, nll_weight=0.0, train=TRAIN))
    trainer.train()
    assert logged(trainer)[-1] < logged(trainer)[0]


def test_figures_tell_the_kinds_apart(tmp_path: Path) -> None:
    edits = [row for row in ROWS if row["is_edit"]]
    trainer = trainer_of(tmp_path, RISEConfig(train=TRAIN), edits)
    trainer.train()
    (first, *_, last) = [line for line in trainer.state.log_history if "loss" in line]
    assert "margins/edit" in last
    assert "margins/full" not in last
    assert last["margins/edit"] == pytest.approx(last["rewards/margins"], abs=1e-6)
    assert last["margins/edit"] > first["margins/edit"]


def test_ids_that_are_encoded_already_are_taken(tmp_path: Path) -> None:
    bare = [{name: row[name] for name in row if name != "is_edit"} for row in ROWS]
    trainer = trainer_of(tmp_path, RISEConfig(train=TRAIN), bare, held_out=ROWS[:3])
    assert trainer.encoded.rows == [row | {"is_edit": 0} for row in bare]
    assert trainer.evaluate()["eval_rewards/margins"] == pytest.approx(0, abs=1e-5)


# A whole run.

SETTINGS = TrainConfig(
    steps=4, batch_size=4, learning_rate=1e-3, weight_decay=0.0, log_every=1, save_every=2, device="cpu"
)
RECIPE = Recipe(rise=RISEConfig(train=SETTINGS))
QUESTION = "What is {} + {}?"
PAIRS = [
    pair
    for n in range(6)
    for pair in (
        Pair(
            prompt=QUESTION.format(n, n),
            initial_reason_steps="",
            chosen=f"Step 1: {n} + {n} = {2 * n}.",
            rejected=f"Step 1: {n} + {n} = {2 * n + 1}.",
            source_id=str(n),
        ),
        Pair(
            prompt=QUESTION.format(n, n),
            initial_reason_steps="Step 1:",
            chosen=f" {n} + {n} = {2 * n}.",
            rejected=f" {n} + {n} = {2 * n + 2}.",
            source_id=str(n),
            pair_kind="edit",
            step=1,
            last_step=False,
        ),
    )
]


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("policy")
    tiny_model("llama").save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return str(folder)


def changed(**options: Any) -> Recipe:
    return replace(RECIPE, rise=replace(RECIPE.rise, **options))


def trained(path: Path, name: str, recipe: Recipe = RECIPE, pairs: Any = PAIRS, train: Any = train_on_pairs) -> Any:
    with Run.open(path, config=recipe) as run:
        return train(run, name, pairs, recipe) | {"metrics": run.metrics()}


@pytest.mark.parametrize("rank", [0, 4])
def test_a_run_ends_in_a_model_that_prefers_the_right_step(tmp_path: Path, llama: str, rank: int) -> None:
    recipe = changed(lora_rank=rank, train=replace(SETTINGS, steps=12, learning_rate=1e-2 if rank else 1e-3))
    spoilt = [replace(PAIRS[1], chosen=" 1<eos>"), replace(PAIRS[1], chosen=PAIRS[1].rejected)]
    facts = trained(tmp_path / "run", llama, recipe, [*PAIRS, *spoilt])
    assert {name: facts[name] for name in ("pairs", "rows", "edit_rows", "dropped", "cut_prompts", "steps")} == {
        "pairs": 14,
        "rows": 12,
        "edit_rows": 6,
        "dropped": {"special_inside": 1, "equal": 1},
        "cut_prompts": 0,
        "steps": 12,
    }
    assert (facts["trained"] < facts["parameters"] / 2) == bool(rank)
    first, last = facts["metrics"][0], facts["metrics"][-1]
    assert set(FIGURES) | {"rewards/margins", "loss", "step"} <= set(first)
    assert last["margins/edit"] > first["margins/edit"] + 0.1
    assert last["margins/full"] > first["margins/full"] + 0.1
    assert last["nll"] < first["nll"]
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "run" / "model", dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "run" / "model")
    assert tokenizer("1+1")["input_ids"] == tiny_tokenizer()("1+1")["input_ids"]
    assert (tmp_path / "run" / "adapter").exists() == bool(rank)
    assert not list((tmp_path / "run").glob("*.partial"))
    assert not torch.equal(weights(model), weights(tiny_model("llama")))
    again = trained(tmp_path / "run", "no such model", recipe)  # what is finished is not done again
    assert again == facts


def test_dropout_is_off_and_the_reference_is_the_start(tmp_path: Path, llama: str) -> None:
    facts = trained(tmp_path, llama, changed(nll_weight=0.0))
    assert facts["metrics"][0]["loss"] == pytest.approx(0.693147, abs=2e-6)


@pytest.mark.parametrize("rank", [0, 4])
@pytest.mark.parametrize("train", [train_on_pairs, train_supervised])
def test_a_run_that_was_stopped_ends_the_same(
    tmp_path: Path, llama: str, rank: int, train: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = changed(lora_rank=rank)

    trained(tmp_path / "whole", llama, recipe, train=train)
    original = Trainer.training_step

    def stopping(self: Any, *args: Any, **options: Any) -> Any:
        if self.state.global_step == 3:
            raise KeyboardInterrupt
        return original(self, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "training_step", stopping)
        with pytest.raises(KeyboardInterrupt):
            trained(tmp_path / "stopped", llama, recipe, train=train)
    assert not (tmp_path / "stopped" / "model").exists()
    trained(tmp_path / "stopped", llama, recipe, train=train)
    assert fingerprints(tmp_path / "stopped", skip=VOLATILE) == fingerprints(tmp_path / "whole", skip=VOLATILE)


def test_the_baseline_learns_whole_solutions_for_as_many_steps(tmp_path: Path, llama: str) -> None:
    recipe = changed(epochs=2.0)
    pairs = trained(tmp_path / "pairs", llama, recipe)
    alone = trained(tmp_path / "alone", llama, recipe, train=train_supervised)
    assert pairs["steps"] == alone["steps"] == 6  # 2 passes over 12 pairs, 4 at a time
    assert (alone["rows"], alone["edit_rows"]) == (6, 0)
    assert alone["metrics"][-1]["loss"] < alone["metrics"][0]["loss"]
    with pytest.raises(DataError, match="None of 6 pairs is of whole solutions"):
        trained(tmp_path / "edits", llama, recipe, PAIRS[1::2], train=train_supervised)


def test_nothing_left_is_an_error_with_the_counts(tmp_path: Path, llama: str) -> None:
    for train in (train_on_pairs, train_supervised):
        with pytest.raises(DataError, match=r"No pair is left to train on: 12 because a completion is longer"):
            trained(tmp_path / train.__name__, llama, changed(max_length=4, max_prompt_length=2), train=train)
        assert not (tmp_path / train.__name__ / "model").exists()
    with pytest.raises(DataError, match="there were none"):
        trained(tmp_path / "none", llama, pairs=[])
    with pytest.raises(ConfigError, match="names no layer"):
        trained(tmp_path / "layers", llama, changed(lora_rank=2, lora_targets=("nothing",)))


def test_half_precision_is_for_adapters() -> None:
    with pytest.raises(ConfigError, match="small steps are rounded away"):
        RISEConfig(dtype="bfloat16")
    RISEConfig(dtype="bfloat16", lora_rank=4)


def test_padding_with_eos_is_noted_and_eos_still_learnt(tmp_path: Path, llama: str) -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.pad_token = tokenizer.eos_token
    tiny_model("llama").save_pretrained(tmp_path / "policy")
    tokenizer.save_pretrained(tmp_path / "policy")
    found = trained(tmp_path / "run", str(tmp_path / "policy"))
    expected = trained(tmp_path / "other", llama)
    assert found["metrics"] == expected["metrics"]
    assert "pads with EOS" in json.loads((tmp_path / "run" / "contents.json").read_text())["notes"][0]


TORCHRUN = """
import json, sys
from dataclasses import replace
from pathlib import Path
import torch
torch.set_num_threads(1)
from tests.methods.rise.test_trainer import PAIRS, RECIPE, SETTINGS, changed
from tenon.core.run import Run
from tenon.methods.rise.trainer import train_on_pairs
folder, model, batch, options = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), json.loads(sys.argv[4])
recipe = changed(train=replace(SETTINGS, batch_size=batch), **options)
with Run.open(folder, config={"job": "rise"}) as run:
    train_on_pairs(run, model, PAIRS[:11], recipe)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {"share_prefix": True},
        {"share_prefix": True, "lora_rank": 4, "precompute_reference": False},
        {"share_prefix": False, "precompute_reference": False},
    ],
)
def test_two_processes_train_as_one_with_twice_the_batch(tmp_path: Path, llama: str, options: Any) -> None:
    (tmp_path / "job.py").write_text(TORCHRUN)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3]), "OMP_NUM_THREADS": "1"}
    found = []
    for name, words, batch in (
        ("one", [], "4"),
        ("two", ["-m", "torch.distributed.run", "--nproc-per-node", "2"], "2"),
    ):
        command = [sys.executable, *words, str(tmp_path / "job.py"), str(tmp_path / name), llama, batch]
        done = subprocess.run(
            [*command, json.dumps(options)], capture_output=True, text=True, check=False, env=environment
        )
        assert done.returncode == 0, done.stderr
        found.append([json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()])
        AutoModelForCausalLM.from_pretrained(tmp_path / name / "model")
    one, two = found
    assert len({round(line["loss"], 4) for line in one}) == 4
    for line, other in zip(one, two, strict=True):
        assert line.keys() == other.keys()  # a step may have pairs of one kind only
        for figure in {"loss", "rewards/margins", "margins/full", "margins/edit", "nll"} & line.keys():
            assert other[figure] == pytest.approx(line[figure], abs=2e-5), figure
