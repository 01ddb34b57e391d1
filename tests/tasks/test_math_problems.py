"""Generated word problems: every step is true, splits cannot meet, texts differ, requests are kept."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from tenon.core.errors import ConfigError, DataError
from tenon.tasks.math import (
    FAMILIES,
    Problem,
    Step,
    find_faults,
    generate_problem,
    generate_problems,
    parse_solution,
    render_solution,
    split_of,
    verify,
)
from tenon.tasks.math.names import ANIMALS, BOXES, FOOD, HE, ITEMS, KEEPSAKES, PLACES, SHE, TOOLS
from tenon.tasks.math.problem import Split

SPLITS: tuple[Split, ...] = ("train", "valid", "test")

APPLES = Problem(
    question="Mia buys 3 bags with 4 apples in each. She gets 5 more apples. How many apples does she have?",
    steps=(
        Step(3, "*", 4, 12, "Mia buys 3 * 4 = 12 apples."),
        Step(12, "+", 5, 17, "She has 12 + 5 = 17 apples."),
    ),
    answer="17",
    key="by-hand",
    split="train",
    family="shopping",
    level="easy",
    num_steps=2,
    has_distractor=False,
)

QUESTION_0 = (
    "Daisy takes care of a yard of 204 square meters. Half of this area belongs to Omar and is taken off. "
    "Later, she leaves out a corner of 9 meters by 9 meters. 6 square meters are not used, and she leaves "
    "them out. The carpet costs 20 dollars. 5 people share this area equally. How many square meters does "
    "each part have?"
)
SOLUTION_0 = """\
Step 1: Half of the area is 204 / 2 = 102 square meters.
Step 2: That leaves 204 - 102 = 102 square meters.
Step 3: This part has 9 * 9 = 81 square meters.
Step 4: That leaves 102 - 81 = 21 square meters.
Step 5: That leaves 21 - 6 = 15 square meters.
Step 6: Each part has 15 / 5 = 3 square meters.
Answer: 3"""


@pytest.fixture(scope="module")
def problems() -> dict[Split, list[Problem]]:
    return {split: list(generate_problems(0, split, 1000)) for split in SPLITS}


def test_the_format_is_the_one_that_models_were_trained_on() -> None:
    assert APPLES.solution == "Step 1: Mia buys 3 * 4 = 12 apples.\nStep 2: She has 12 + 5 = 17 apples.\nAnswer: 17"
    assert APPLES.messages() == [
        {"role": "user", "content": APPLES.question},
        {"role": "assistant", "content": APPLES.solution},
    ]
    assert APPLES.operations == ("*", "+")
    verify(APPLES)


def test_every_step_is_true(problems: dict[Split, list[Problem]]) -> None:
    assert [fault for split in SPLITS for problem in problems[split] for fault in find_faults(problem)] == []


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_tells_problems_of_every_length(family: str) -> None:
    for steps in range(1, 7):
        for split in SPLITS:
            for problem in generate_problems(1, split, 4, steps=steps, family=family):
                verify(problem)
                assert (problem.family, problem.level) == (family, FAMILIES[family].level)
                assert len(problem.steps) == problem.num_steps == steps


@pytest.mark.parametrize(
    ("broken", "fault"),
    [
        pytest.param({"steps": (APPLES.steps[0].rewritten(value=13), APPLES.steps[1])}, "is false", id="wrong value"),
        pytest.param({"steps": (APPLES.steps[0].rewritten(op="+"), APPLES.steps[1])}, "is false", id="wrong operator"),
        pytest.param(
            {"steps": (APPLES.steps[0].rewritten(left=6, value=24), APPLES.steps[1].rewritten(left=24, value=29))},
            "6 comes from nowhere",
            id="wrong operand",
        ),
        pytest.param({"steps": APPLES.steps[1:]}, "12 comes from nowhere", id="first step missing"),
        pytest.param({"steps": APPLES.steps[:1]}, "num_steps is 2", id="last step missing"),
        pytest.param({"steps": (*APPLES.steps, APPLES.steps[1])}, "never used", id="idle step"),
        pytest.param({"steps": ()}, "0 steps", id="no steps"),
        pytest.param({"answer": "18"}, "but the answer is 18", id="wrong answer"),
        pytest.param({"answer": "17.5"}, "must be 'Answer: <number>'", id="no integer"),
        pytest.param({"question": APPLES.question + " Not 17?"}, "gives its answer 17 away", id="answer told"),
        pytest.param({"split": "test"}, "belong to split 'train'", id="wrong split"),
        pytest.param(
            {"steps": (Step(3, "*", 4, 12, "Mia buys 4 * 3 = 12 apples."), APPLES.steps[1])},
            "differ from those in the text",
            id="record and text differ",
        ),
        pytest.param(
            {"steps": (replace(APPLES.steps[0], text="Mia buys 12 apples."), APPLES.steps[1])},
            "exactly one 'a op b = c'",
            id="no equation",
        ),
    ],
)
def test_mistakes_are_found(broken: dict[str, object], fault: str) -> None:
    problem = replace(APPLES, **broken)  # type: ignore[arg-type]
    assert fault in "; ".join(find_faults(problem))
    with pytest.raises(DataError, match="problem by-hand is wrong"):
        verify(problem)


def test_words_and_units_allow_operands_only_where_they_are_said() -> None:
    question = "Tom practices for 3 hours. Half of it is singing. How many minutes is that?"
    steps = (
        Step(3, "*", 60, 180, "That is 3 * 60 = 180 minutes."),
        Step(180, "/", 2, 90, "Half of it is 180 / 2 = 90 minutes."),
    )
    split = split_of(step.equation for step in steps)
    problem = replace(APPLES, question=question, steps=steps, answer="90", split=split)
    verify(problem)
    without_half = replace(problem, question=question.replace("Half", "Some"))
    assert find_faults(without_half) == ["step 2: 2 comes from nowhere"]
    without_unit = replace(problem, steps=(replace(steps[0], text="That is 3 * 60 = 180 pieces."), steps[1]))
    assert find_faults(without_unit) == ["step 1: 60 comes from nowhere"]


def test_a_solution_is_rebuilt_from_its_steps(problems: dict[Split, list[Problem]]) -> None:
    for problem in problems["test"][:200]:
        steps, answer = parse_solution(problem.solution)
        assert (steps, answer) == (problem.steps, problem.answer)
        wrong = [step.rewritten(value=step.value + 1) for step in steps]
        reread, _ = parse_solution(render_solution(wrong, answer))
        assert [step.value - 1 for step in reread] == [step.value for step in steps]


@pytest.mark.parametrize("text", ["", "Answer: x", "Step 2: 1 + 2 = 3.\nAnswer: 3", "Step 1: 1 + 2 = 3.", "3"])
def test_text_in_another_format_is_refused(text: str) -> None:
    with pytest.raises(DataError, match="it must"):
        parse_solution(text)


def test_a_split_follows_from_the_equations_alone(problems: dict[Split, list[Problem]]) -> None:
    chains = {}
    for split in SPLITS:
        chains[split] = {tuple(step.equation for step in problem.steps) for problem in problems[split]}
        assert {split_of(chain) for chain in chains[split]} == {split}
    texts = {split: {problem.question for problem in problems[split]} for split in SPLITS}
    for one, other in [("train", "valid"), ("train", "test"), ("valid", "test")]:
        assert not chains[one] & chains[other]  # type: ignore[index]
        assert not texts[one] & texts[other]  # type: ignore[index]


def test_the_same_name_gives_the_same_problem() -> None:
    again = list(generate_problems(3, "valid", 20, start=5))
    assert again == [generate_problem(3, "valid", index) for index in reversed(range(5, 25))][::-1]
    assert len({problem.key for problem in again}) == 20
    assert generate_problem(3, "valid", 5) != generate_problem(4, "valid", 5)


def test_stored_problem_stays_as_it_was_when_models_were_trained() -> None:
    """The text is frozen: a change here means that the weights of nano-lm were trained on other problems."""
    problem = generate_problem(0, "train", 0)
    assert problem.question == QUESTION_0
    assert problem.solution == SOLUTION_0


def test_texts_are_no_near_copies(problems: dict[Split, list[Problem]]) -> None:
    """Even with numbers, people and things masked, hundreds of different texts remain among a thousand."""
    people = re.compile(rf"\b({'|'.join(SHE + HE)})\b")
    nouns = {noun for options in (ANIMALS, BOXES, FOOD, ITEMS, KEEPSAKES, PLACES, TOOLS) for noun in options}
    nouns |= {noun for family in FAMILIES.values() for options in family.slots.values() for noun in options}
    things = re.compile(rf"\b({'|'.join(sorted((n[:-1] if n.endswith('y') else n for n in nouns), key=len)[::-1])})\w*")
    masked = {things.sub("T", people.sub("P", re.sub(r"\d+", "N", p.question))) for p in problems["train"]}
    assert len({problem.question for problem in problems["train"]}) == 1000
    assert len(masked) > 600


def test_distractors_come_as_often_as_asked(problems: dict[Split, list[Problem]]) -> None:
    share = sum(problem.has_distractor for problem in problems["train"]) / 1000
    assert abs(share - 0.25) < 0.055  # four standard errors of a share of 0.25 among 1000
    for wanted in (True, False):
        assert all(p.has_distractor is wanted for p in generate_problems(0, "train", 50, distractor=wanted))


def test_a_distractor_adds_a_number_that_no_step_uses() -> None:
    for problem in generate_problems(0, "train", 100, distractor=True):
        given = {int(number) for number in re.findall(r"\d+", problem.question)}
        used = {operand for step in problem.steps for operand in (step.left, step.right)}
        assert given - used


def test_numbers_stay_learnable(problems: dict[Split, list[Problem]]) -> None:
    for problem in problems["train"]:
        limit = FAMILIES[problem.family].limit
        assert all(2 <= step.value <= limit for step in problem.steps)
    easy = [step.value for p in problems["train"] if p.level == "easy" and p.num_steps <= 3 for step in p.steps]
    assert sum(value <= 100 for value in easy) > 0.95 * len(easy)


def test_all_operations_and_many_words_occur(problems: dict[Split, list[Problem]]) -> None:
    assert {op for problem in problems["train"] for op in problem.operations} == set("+-*/")
    assert len(set(SHE + HE)) >= 60
    assert len({noun for family in FAMILIES.values() for options in family.slots.values() for noun in options}) >= 80


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"steps": 7}, "steps is 7; it must be 1 to 6"),
        ({"family": "chess"}, "family is 'chess'; it must be one of: shopping"),
        ({"split": "dev"}, "split is 'dev'"),
    ],
)
def test_impossible_wishes_are_refused(wish: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        generate_problem(**{"seed": 0, "split": "train", "index": 0, **wish})  # type: ignore[arg-type]
