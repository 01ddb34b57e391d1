"""The tour's stop: nano-lm solves word problems, its right steps get an error, and it learns to tell them apart."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tenon.methods.rise import CARD

if TYPE_CHECKING:
    from tenon.core.report import Report
    from tenon.core.run import Run

__all__ = ["demo"]


def demo(run: Run) -> Report:
    """Sample, edit, pair and train in little, and measure the margin of unseen true steps; under half a minute."""
    from tenon.core.chat.local import LocalWriter
    from tenon.core.models.loading import load_model, load_tokenizer
    from tenon.methods.rise.config import PRESETS, SampleConfig
    from tenon.methods.rise.edit import inject_errors
    from tenon.methods.rise.evaluate import questions_of, word_problems
    from tenon.methods.rise.pairs import build_pairs
    from tenon.methods.rise.pictures import draw_margins
    from tenon.methods.rise.probe import held_out_pairs, margins
    from tenon.methods.rise.sample import sample_solutions
    from tenon.methods.rise.show import show_edits, show_pairs, show_solutions, show_training
    from tenon.methods.rise.trainer import train_on_pairs

    nano = PRESETS["nano"]
    # fp32: a processor without bfloat16 instructions emulates them, eighty times slower.
    few = replace(nano.rise.train, steps=8, batch_size=8, log_every=1, save_every=4, device="cpu", precision="fp32")
    recipe = replace(
        nano,
        sample=SampleConfig(samples=3, temperature=0.7, top_p=0.9, max_tokens=96),
        rise=replace(nano.rise, train=few),
    )
    tokenizer = load_tokenizer("nano-lm")
    questions = questions_of(word_problems(1, "train", 40, max_steps=3))
    solutions = sample_solutions(run, questions, LocalWriter("nano-lm", batch_size=40, device="cpu"), recipe)
    show_solutions(run, solutions)
    edits = inject_errors(run, questions, solutions, recipe)
    show_edits(run, edits)
    built = build_pairs(questions, solutions, edits, recipe)
    show_pairs(run, built.rows, built.counts)
    show_training(run, train_on_pairs(run, "nano-lm", built.rows, recipe))

    unseen = held_out_pairs(word_problems(1, "valid", 40, max_steps=3), recipe)
    for name, source in (("before", "nano-lm"), ("after", run.path / "model")):
        if not run.stage_done(name):
            run.finish_stage(name, rows=margins(load_model(source, device="cpu"), tokenizer, unseen, recipe))
    rows = [{"contender": name, **row} for name in ("before", "after") for row in run.stages()[name]["rows"]]
    run.table("margins", rows, "log p(true step) - log p(edited step), on steps that no training saw [nats].")
    picture = draw_margins([{**row, "low": None, "high": None} for row in rows])
    run.figure("margins", picture, "Margins of true steps, by kind of error (nano).", "Points, before and after.")
    before, after = (run.stages()[name]["rows"][-1]["preferred"] for name in ("before", "after"))
    run.note(
        f"So short a training shows the stages, not the gain: of {len(unseen)} unseen true steps nano-lm finds "
        f"{before:.0%} likelier than their edits before, {after:.0%} after. The card has five seeds and all baselines."
    )
    return run.collect(
        CARD.title,
        "nano-lm solves word problems several times. Each step of a right solution is rewritten with one subtle error; "
        "the true step and the false one, after the same beginning, are a pair that differs in nothing else.",
        card=CARD,
    )
