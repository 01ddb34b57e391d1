"""Few-shot prompts, fixed batches and grading: what stands between a model and its accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tenon.core.errors import DataError
from tenon.core.models.tiny import tiny_model, tiny_tokenizer
from tenon.core.run import Run
from tenon.core.scoring.generation import greedy_texts
from tenon.nano.tokenizer import train_tokenizer
from tenon.tasks.math import generate_problems
from tenon.tasks.math.accuracy import chat_prompt, score_answers, solve

PROBLEMS = list(generate_problems(2, "test", 20))


def test_shots_stand_before_the_question_as_solved_turns() -> None:
    tokenizer = train_tokenizer([p.question for p in PROBLEMS], vocab_size=300)
    prompt = chat_prompt(tokenizer, PROBLEMS[0], PROBLEMS[1:3])
    places = [prompt.index(text) for text in (PROBLEMS[1].solution, PROBLEMS[2].question, PROBLEMS[0].question)]
    assert places == sorted(places)
    assert PROBLEMS[0].solution not in prompt
    assert prompt.endswith("<|assistant|>")


def test_right_wrong_and_missing_answers() -> None:
    texts = [PROBLEMS[0].solution, "Step 1: 1 + 1 = 2.\nAnswer: 987654", "I give up"]
    rows = list(score_answers(PROBLEMS[:3], texts))
    assert [row["correct"] for row in rows] == [True, False, False]
    assert [row["found"] is None for row in rows] == [False, False, True]


def test_each_problem_is_asked_once_in_batches_that_do_not_depend_on_the_answers(tmp_path: Path) -> None:
    asked: list[list[str]] = []

    def oracle(prompts: Sequence[str]) -> list[str]:
        asked.append(list(prompts))
        by_question = {problem.question: problem.solution for problem in PROBLEMS}
        return [by_question[prompt] for prompt in prompts]

    prompts = [problem.question for problem in PROBLEMS]
    with Run.open(tmp_path / "run", config={}) as run:
        rows = solve(run, "solved", PROBLEMS, prompts, oracle, batch_size=6)
    assert all(row["correct"] for row in rows)
    assert sorted(row["key"] for row in rows) == sorted(problem.key for problem in PROBLEMS)
    assert [len(batch) for batch in asked] == [6, 6, 6, 2]
    lengths = [len(prompt) for batch in asked for prompt in batch]
    assert lengths == sorted(lengths, reverse=True)


def test_a_run_that_goes_on_answers_only_what_is_missing(tmp_path: Path) -> None:
    asked: list[int] = []

    def tiring(prompts: Sequence[str]) -> list[str]:
        asked.append(len(prompts))
        if len(asked) == 3:
            raise KeyboardInterrupt
        return ["Answer: 1"] * len(prompts)

    prompts = [problem.question for problem in PROBLEMS]
    with pytest.raises(KeyboardInterrupt), Run.open(tmp_path / "run", config={}) as run:
        solve(run, "solved", PROBLEMS, prompts, tiring, batch_size=6)
    with Run.open(tmp_path / "run", config={}) as run:
        assert len(solve(run, "solved", PROBLEMS, prompts, tiring, batch_size=6)) == len(PROBLEMS)
    assert asked == [6, 6, 6, 6, 2]


def test_a_batch_is_left_padded_and_its_answers_do_not_depend_on_their_neighbours() -> None:
    model, tokenizer = tiny_model("llama"), tiny_tokenizer()
    prompts = ["ab", "Once upon a time", "x, y."]
    together = greedy_texts(model, tokenizer, prompts, max_new_tokens=8)
    alone = [greedy_texts(model, tokenizer, [prompt], max_new_tokens=8)[0] for prompt in prompts]
    assert together == alone


def test_a_tokenizer_without_a_pad_token_answers_and_stays_as_it_was() -> None:
    model, tokenizer = tiny_model("llama"), tiny_tokenizer()
    model.config.use_cache = model.generation_config.use_cache = False  # as checkpoints are saved after training
    expected = greedy_texts(model, tokenizer, ["ab", "Once upon a time"], max_new_tokens=4)
    tokenizer.pad_token = None
    assert greedy_texts(model, tokenizer, ["ab", "Once upon a time"], max_new_tokens=4) == expected
    assert tokenizer.pad_token is None


def test_a_base_model_is_told_what_to_do() -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = None
    with pytest.raises(DataError, match="--problems 0"):
        chat_prompt(tokenizer, PROBLEMS[0])


def test_a_prompt_that_leaves_no_room_is_refused_before_any_work() -> None:
    model, tokenizer = tiny_model("llama", max_position_embeddings=32), tiny_tokenizer()
    with pytest.raises(DataError, match="knows 32 positions"):
        greedy_texts(model, tokenizer, ["a" * 30], max_new_tokens=8)
