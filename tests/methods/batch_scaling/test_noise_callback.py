"""The callback in a real Trainer: what it logs is what one computes by hand from every row's gradient."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from tenon.core.errors import ConfigError
from tenon.core.models.tiny import tiny_model
from tenon.core.run import Run
from tenon.core.training.loop import train
from tenon.methods.batch_scaling.probes.gradient_noise import NoiseScale
from tenon.methods.batch_scaling.probes.noise_callback import METRICS, GradientNoiseScaleCallback
from tenon.methods.batch_scaling.reference import noise_by_hand

SEQ = 12
STEPS = 4


def rows(count: int, *, unequal: bool = False, seed: int = 0) -> list[dict[str, Tensor]]:
    """Rows of random tokens; unequal ones teach only their ends, of very different lengths."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(4, 40, (count, SEQ), generator=generator)
    ids[:, ::3] = 7  # something that can be learned, so that |G| is not lost in noise
    labels = ids.clone()
    if unequal:
        starts = torch.randint(0, SEQ - 2, (count,), generator=generator)
        labels[torch.arange(SEQ) < starts[:, None]] = -100
    return [{"input_ids": ids[row], "labels": labels[row]} for row in range(count)]


class Snapshots(TrainerCallback):
    """The model before every step."""

    def __init__(self) -> None:
        self.models: list[Any] = []

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: Any = None, **_: Any
    ) -> None:
        self.models.append(copy.deepcopy(model))


def trainer(folder: Path, data: list[dict[str, Tensor]], callbacks: list[Any], **options: Any) -> Trainer:
    given: dict[str, Any] = {
        "output_dir": str(folder),
        "max_steps": STEPS,
        "per_device_train_batch_size": 2,
        "gradient_accumulation_steps": 3,
        "learning_rate": 1e-3,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "use_cpu": True,
        "disable_tqdm": True,
        "train_sampling_strategy": "sequential",
        "dataloader_pin_memory": False,
        **options,
    }
    model = given.pop("model", None) or tiny_model("llama")
    return Trainer(model=model, args=TrainingArguments(**given), train_dataset=data, callbacks=callbacks)  # type: ignore[arg-type]


def logged(job: Trainer) -> list[dict[str, float]]:
    return [entry for entry in job.state.log_history if "loss" in entry]


def micro_batches(data: list[dict[str, Tensor]], step: int, size: int, count: int) -> list[tuple[Tensor, Tensor]]:
    stacked = torch.stack([row["input_ids"] for row in data]), torch.stack([row["labels"] for row in data])
    first = step * size * count
    return [tuple(one[at : at + size] for one in stacked) for at in range(first, first + size * count, size)]  # type: ignore[misc]


def by_hand(
    models: list[Any], data: list[dict[str, Tensor]], *, size: int = 2, count: int = 3
) -> list[dict[str, float]]:
    scale, told = NoiseScale(0.9), []
    for step, model in enumerate(models):
        scale.update(*noise_by_hand(model, micro_batches(data, step, size, count), tokens=[size * SEQ] * count))
        values = (scale.b_simple, scale.g2, scale.s)
        told.append({name: value for name, value in zip(METRICS, values, strict=True) if value is not None})
    return told


def agree(found: list[dict[str, float]], expected: list[dict[str, float]], rel: float = 1e-5) -> None:
    assert [set(one) & set(METRICS) for one in found] == [set(one) for one in expected]
    for one, other in zip(found, expected, strict=True):
        assert {name: one[name] for name in other} == pytest.approx(other, rel=rel)


@pytest.mark.parametrize("max_grad_norm", [1e-4, 0.0], ids=["clipped", "unclipped"])
@pytest.mark.parametrize("unequal", [False, True], ids=["equal", "unequal"])
def test_property_7_10_the_log_equals_a_computation_by_hand(
    tmp_path: Path, unequal: bool, max_grad_norm: float
) -> None:
    data, spy = rows(6 * STEPS, unequal=unequal), Snapshots()
    noise = GradientNoiseScaleCallback(decay=0.9, quiet=True)
    job = trainer(tmp_path, data, [spy, noise], max_grad_norm=max_grad_norm)
    job.train()
    agree(logged(job), by_hand(spy.models, data))
    assert METRICS[0] in logged(job)[-1]
    if max_grad_norm:
        assert all(entry["grad_norm"] > 1000 * max_grad_norm for entry in logged(job))  # so clipping acted
    if unequal:
        sizes = {int((labels[:, 1:] != -100).sum()) for _, labels in micro_batches(data, 0, 2, 3)}
        assert len(sizes) > 1
    assert noise.scale.pairs == STEPS
    assert not noise.skipped


@pytest.mark.parametrize("reentrant", [True, False])
def test_gradient_checkpointing_changes_nothing(tmp_path: Path, reentrant: bool) -> None:
    data, found = rows(6 * STEPS, unequal=True), []
    plain = {"per_device_train_batch_size": 2}
    name = "activation_checkpointing"
    if name not in TrainingArguments.__dataclass_fields__:
        name = "gradient_checkpointing"
    for options in (plain, {name: True, f"{name}_kwargs": {"use_reentrant": reentrant}}):
        job = trainer(tmp_path, data, [GradientNoiseScaleCallback(quiet=True)], **options)
        job.train()
        found.append([{name: one[name] for name in METRICS if name in one} for one in logged(job)])
    agree(found[1], found[0])


def test_frozen_and_tied_parameters_count_as_the_optimizer_sees_them(tmp_path: Path) -> None:
    data, spy = rows(6 * STEPS), Snapshots()
    model = tiny_model("llama", tie_word_embeddings=True)
    model.model.layers[0].requires_grad_(False)
    job = trainer(tmp_path, data, [spy, GradientNoiseScaleCallback(decay=0.9, quiet=True)], model=model)
    job.train()
    agree(logged(job), by_hand(spy.models, data))


def test_losses_that_are_means_of_micro_batches_are_told_apart(tmp_path: Path) -> None:
    class OfMeans(Trainer):
        """A trainer whose loss is its own and knows nothing of the step's number of targets."""

        def compute_loss(self, model: Any, inputs: Any, *_: Any, **__: Any) -> Any:
            return model(**inputs).loss

    data = rows(6)
    job = trainer(tmp_path, data, [], max_steps=1)
    noise, spy = GradientNoiseScaleCallback(decay=0.9, quiet=True), Snapshots()
    other = OfMeans(model=job.model, args=job.args, train_dataset=data, callbacks=[noise, spy])  # type: ignore[arg-type]
    other.loss_is_scaled_for_ga = False
    other.model_accepts_loss_kwargs = False
    other.train()
    agree(logged(other), by_hand(spy.models, data))


def test_unseen_labels_of_unequal_sizes_are_skipped_and_counted(tmp_path: Path) -> None:
    data = rows(12)
    for row in data:
        row["attention_mask"] = torch.ones(SEQ, dtype=torch.long)
    for row in data[6:]:  # the second step's rows are shorter and shorter
        row["attention_mask"][-int(row["input_ids"][1]) % 7 :] = 0
    noise = GradientNoiseScaleCallback(quiet=True)
    trainer(tmp_path, data, [noise], label_smoothing_factor=0.1, max_steps=2).train()
    assert (noise.scale.pairs, noise.skipped) == (1, 1)
    assert "1 skipped" in noise.summary()


def test_a_step_of_one_micro_batch_alone_is_skipped(tmp_path: Path) -> None:
    noise = GradientNoiseScaleCallback(quiet=True)
    trainer(tmp_path, rows(8), [noise], max_steps=-1, num_train_epochs=1).train()  # 3 + 1 micro-batches
    assert (noise.scale.pairs, noise.skipped) == (1, 1)


def test_a_resumed_training_logs_the_same(tmp_path: Path) -> None:
    options: dict[str, Any] = {"save_strategy": "steps", "save_steps": 2, "max_steps": 6, "logging_steps": 1}
    data = rows(36)
    whole = trainer(tmp_path, data, [GradientNoiseScaleCallback(decay=0.9, every=2, quiet=True)], **options)
    whole.train()
    for restores in (False, True):
        again = trainer(tmp_path, data, [GradientNoiseScaleCallback(decay=0.9, every=2, quiet=True)],
                        restore_callback_states_from_checkpoint=restores, **options)  # fmt: skip
        again.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
        found = [{name: one.get(name) for name in METRICS} for one in logged(again)[2:]]
        assert found == [{name: one.get(name) for name in METRICS} for one in logged(whole)[2:]]
    lost = trainer(tmp_path, data, [GradientNoiseScaleCallback(decay=0.9, every=2, quiet=True)], **options)
    lost.train()
    assert logged(lost)[2]["gns/s"] == logged(whole)[2]["gns/s"]  # a new training begins anew


def test_it_can_join_a_training_that_was_begun_without_it(tmp_path: Path) -> None:
    options: dict[str, Any] = {"save_strategy": "steps", "save_steps": 2}
    trainer(tmp_path, rows(24), [], **options).train()
    noise = GradientNoiseScaleCallback(quiet=True)
    trainer(tmp_path, rows(24), [noise], **options).train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    assert noise.scale.pairs == STEPS - 2
    kept = json.loads((tmp_path / "checkpoint-4" / "trainer_state.json").read_text())["stateful_callbacks"]
    assert kept["GradientNoiseScaleCallback"]["attributes"]["restored"]["pairs"] == STEPS - 2


def test_our_own_loop_and_others_callbacks_see_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Elsewhere(TrainerCallback):
        seen: list[dict[str, float]] = []  # noqa: RUF012 - one instance

        def on_log(self, *_: Any, logs: dict[str, float] | None = None, **__: Any) -> None:
            self.seen.append(dict(logs or {}))

    other, noise = Elsewhere(), GradientNoiseScaleCallback()
    with Run.open(tmp_path / "run", config={}) as run:
        job = noise and trainer(run.path / "checkpoints", rows(24), [other])
        assert noise.attach(job) is noise
        assert noise.attach(job) is noise
        train(job, run, metrics=METRICS)
        lines = run.metrics()
    assert [line["gns/s"] for line in lines] == [entry["gns/s"] for entry in logged(job)]
    assert [one["gns/s"] for one in other.seen if "loss" in one] == [entry["gns/s"] for entry in logged(job)]
    assert noise.summary() in capsys.readouterr().err
    assert not any(one._post_accumulate_grad_hooks for one in job.model.parameters())  # type: ignore[union-attr]
    assert not job.model._forward_pre_hooks  # type: ignore[union-attr]


def test_the_loss_scale_of_fp16_is_undone() -> None:
    found = []
    for scale in (1.0, 2.0**14):
        noise = GradientNoiseScaleCallback(quiet=True)
        model, args = tiny_model("llama").train(), SimpleNamespace(
            n_gpu=1, optim="adamw", world_size=1, gradient_accumulation_steps=2, device=torch.device("cpu"),
            average_tokens_across_devices=True,
        )  # fmt: skip
        state, control = TrainerState(), TrainerControl()
        optimizer = SimpleNamespace(scaler=SimpleNamespace(get_scale=lambda scale=scale: scale))
        noise.on_train_begin(args, state, control, model=model, optimizer=optimizer)  # type: ignore[arg-type]
        noise.on_step_begin(args, state, control)  # type: ignore[arg-type]
        data = rows(4)
        for place, (ids, labels) in enumerate(micro_batches(data, 0, 2, 2)):
            (model(input_ids=ids, labels=labels, num_items_in_batch=4 * (SEQ - 1)).loss * scale).backward()
            if not place:
                noise.on_substep_end(args, state, control)  # type: ignore[arg-type]
        for parameter in model.parameters():
            parameter.grad /= scale * 1e3  # unscaled and clipped
        noise.on_pre_optimizer_step(args, state, control)  # type: ignore[arg-type]
        noise.on_train_end(args, state, control)  # type: ignore[arg-type]
        found.append((noise.scale.g2, noise.scale.s))
    assert found[1] == pytest.approx(found[0], rel=1e-5)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"gradient_accumulation_steps": 1}, "two batch sizes"),
        ({"optim": "lomo"}, "uses gradients up"),
    ],
)
def test_what_cannot_be_measured_is_refused(tmp_path: Path, options: dict[str, Any], word: str) -> None:
    args = trainer(tmp_path, rows(6), [], **{key: one for key, one in options.items() if key != "optim"}).args
    args.optim = options.get("optim", args.optim)
    noise = GradientNoiseScaleCallback()
    with pytest.raises(ConfigError, match=word):
        noise.on_train_begin(args, TrainerState(), TrainerControl(), model=tiny_model("llama"))
    with pytest.raises(ConfigError, match="every is 0"):
        GradientNoiseScaleCallback(every=0)


def test_sharded_gradients_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from accelerate.utils import DistributedType

    args = trainer(tmp_path, rows(6), []).args
    for kind in (DistributedType.FSDP, DistributedType.DEEPSPEED):
        stand_in = SimpleNamespace(distributed_type=kind)
        monkeypatch.setattr(
            "tenon.methods.batch_scaling.probes.noise_callback.AcceleratorState", lambda one=stand_in: one
        )
        with pytest.raises(ConfigError, match="spreads gradients over devices"):
            GradientNoiseScaleCallback().on_train_begin(
                args, TrainerState(), TrainerControl(), model=tiny_model("llama")
            )
    monkeypatch.undo()
    args._n_gpu = 2
    with pytest.raises(ConfigError, match="drives 2 GPUs"):
        GradientNoiseScaleCallback().on_train_begin(args, TrainerState(), TrainerControl(), model=tiny_model("llama"))


@pytest.mark.slow
@pytest.mark.parametrize("accumulation", ["1", "2"])
@pytest.mark.parametrize("views", ["plain", "views"])
def test_two_processes_log_what_one_computes_by_hand(tmp_path: Path, accumulation: str, views: str) -> None:
    """7.10 under torchrun: without accumulation the small batch is a process's gradient before the all-reduce."""
    root = str(Path(__file__).parents[3])
    job = str(Path(__file__).with_name("noise_job.py"))
    words = ["-m", "torch.distributed.run", "--nproc-per-node", "2", job, str(tmp_path), accumulation, views]
    environment = os.environ | {"PYTHONPATH": root, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["logged"] == pytest.approx(found["by_hand"], rel=1e-5)
    assert found["clipped"]
