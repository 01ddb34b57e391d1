"""Episodes: true, in their split, and unsolvable for who has not seen the first problem."""

from __future__ import annotations

import pytest

from tenon.core.errors import ConfigError
from tenon.tasks.math import find_faults, generate_episode
from tenon.tasks.math.problem import Problem, Split


def size_of(episode: tuple[Problem, ...]) -> int:
    return int(episode[0].question.split(" pieces")[0].split()[-1])


@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_every_step_is_true_given_the_size_of_the_unit(split: Split) -> None:
    for index in range(60):
        episode = generate_episode(7, split, index, count=5)
        told = {size_of(episode)}
        for problem in episode:
            assert find_faults(problem, told=told) == []


def test_only_the_first_question_tells_the_size() -> None:
    """The size may also occur by chance (9 plims, 9 pens given away), so the unit's sentence is what must be absent."""
    needs_it = 0
    for index in range(100):
        first, *others = generate_episode(11, "test", index, count=4)
        assert find_faults(first) == []
        assert not any("holds" in problem.question for problem in others)
        needs_it += sum(any("nowhere" in fault for fault in find_faults(problem)) for problem in others)
    assert needs_it > 250, "of 300: without the first problem, the others have an operand from nowhere"


def test_the_unit_is_the_same_word_throughout_and_new_in_each_episode() -> None:
    units = set()
    for index in range(40):
        episode = generate_episode(3, "train", index, count=3)
        unit = episode[0].question.split()[1]
        units.add(unit)
        assert all(unit in problem.question and unit in problem.solution for problem in episode)
    assert len(units) > 35


def test_an_episode_is_a_function_of_its_names() -> None:
    assert generate_episode(1, "valid", 4, count=3) == generate_episode(1, "valid", 4, count=3)
    assert generate_episode(1, "valid", 4, count=3) != generate_episode(2, "valid", 4, count=3)


def test_one_problem_is_no_episode() -> None:
    with pytest.raises(ConfigError, match="needs 2 or more"):
        generate_episode(0, "train", 0, count=1)
