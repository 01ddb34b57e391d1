"""`complete`: order, resumption, fingerprints, failures, answers that must fit a schema."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tenon.core.chat import Completion, Failure, Request, Sampling, ScriptedWriter, complete, usage
from tenon.core.errors import BackendError, ConfigError, DataError
from tenon.core.files import fingerprints
from tenon.core.run import RECEIVED, VOLATILE, Run


def ask(key: str, text: str = "", **options: Any) -> Request:
    return Request(key=key, messages=({"role": "user", "content": text or key},), **options)


class Backwards(ScriptedWriter):
    """Answers the last first, and counts whom it asked."""

    def __init__(self, script: Any, label: str = "backwards", stop_after: int | None = None) -> None:
        super().__init__(script, label)
        self.asked: list[str] = []
        self.stop_after = stop_after

    def write(
        self, requests: Sequence[Request], *, seed: int, known: Collection[int] = frozenset()
    ) -> Iterator[tuple[int, Completion | Failure]]:
        for place in reversed(range(len(requests))):
            if place not in known:
                if self.stop_after is not None and len(self.asked) == self.stop_after:
                    raise KeyboardInterrupt
                self.asked.append(requests[place].key)
                yield place, self._answer(requests[place])


def shout(request: Request) -> str:
    return str(request.messages[-1]["content"]).upper()


def opened(folder: Path) -> Run:
    return Run.open(folder, config={"work": "test"})


def test_importing_the_package_needs_neither_torch_nor_openai() -> None:
    heavy = ("torch", "openai", "transformers", "jsonschema")
    code = f"""
import sys, tenon.core.chat
print([name for name in {heavy} if name in sys.modules])
from tenon.core.chat import LocalWriter, ServerWriter
print(LocalWriter.__module__, ServerWriter.__module__)
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.splitlines() == ["[]", "tenon.core.chat.local tenon.core.chat.server"]


def test_rows_stand_in_the_order_of_the_requests_and_tell_who_wrote_them(tmp_path: Path) -> None:
    with opened(tmp_path / "run") as run:
        answers = complete(run, [ask("a"), ask("b"), ask("c")], Backwards(shout))
        rows = run.rows("completions")
    assert [answer.text for answer in answers] == ["A", "B", "C"]
    assert [row["key"] for row in rows] == ["a", "b", "c"]
    assert {row["writer"] for row in rows} == {"scripted: backwards"}
    arrived = [json.loads(line)["key"] for line in (tmp_path / "run" / RECEIVED).read_text().splitlines()]
    assert arrived == ["c", "b", "a"]


def test_what_arrived_before_an_interruption_is_not_asked_again(tmp_path: Path) -> None:
    requests = [ask(key) for key in "abcdef"]
    with opened(tmp_path / "whole") as run:
        complete(run, requests, Backwards(shout))
    first = Backwards(shout, stop_after=4)
    with pytest.raises(KeyboardInterrupt), opened(tmp_path / "cut") as run:
        complete(run, requests, first)
    second = Backwards(shout)
    with opened(tmp_path / "cut") as run:
        answers = complete(run, requests, second)
    assert first.asked + second.asked == list("fedcba")
    assert [answer.text for answer in answers] == list("ABCDEF")
    assert fingerprints(tmp_path / "cut", skip=VOLATILE) == fingerprints(tmp_path / "whole", skip=VOLATILE)


def test_a_line_torn_by_a_kill_is_asked_again(tmp_path: Path) -> None:
    requests = [ask(key) for key in "abc"]
    with pytest.raises(KeyboardInterrupt), opened(tmp_path / "run") as run:
        complete(run, requests, Backwards(shout, stop_after=2))
    journal = tmp_path / "run" / RECEIVED
    journal.write_bytes(journal.read_bytes()[:-9])  # the answer to "b"
    writer = Backwards(shout)
    with opened(tmp_path / "run") as run:
        complete(run, requests, writer)
        assert "torn" in run.notices[0]
    assert writer.asked == ["b", "a"]


def test_finished_rows_are_read_and_the_writer_is_not_touched(tmp_path: Path) -> None:
    with opened(tmp_path) as run:
        first = complete(run, [ask("a"), ask("b")], Backwards(shout))
    with opened(tmp_path) as run:
        writer = Backwards(shout)
        assert complete(run, [ask("b"), ask("a")], writer) == first[::-1]
        assert writer.asked == []
        (tmp_path / RECEIVED).unlink()  # the rows alone are enough
        assert len(complete(run, [ask("a"), ask("b"), ask("c")], writer)) == 3
        assert writer.asked == ["c"]


@pytest.mark.parametrize(
    "changed",
    [
        ask("a", "other words"),
        ask("a", prefill="Step 1:"),
        ask("a", sampling=Sampling(temperature=1.0)),
        ask("a", tools=({"type": "function", "function": {"name": "add"}},)),
        ask("a", schema={"type": "object"}),
    ],
)
def test_another_request_under_the_same_key_is_an_error(tmp_path: Path, changed: Request) -> None:
    with opened(tmp_path) as run:
        complete(run, [ask("a")], ScriptedWriter({"a": "1"}, "one"))
        with pytest.raises(DataError, match="already answers a request 'a' with another text, sampling"):
            complete(run, [changed], ScriptedWriter({"a": "1"}, "one"))
        with pytest.raises(DataError, match="by 'scripted: one', not 'scripted: two'"):
            complete(run, [ask("a")], ScriptedWriter({"a": "1"}, "two"))
        assert complete(run, [changed], ScriptedWriter({"a": "{}"}, "one"), name="others")[0].text == "{}"


def test_a_key_stands_for_one_request(tmp_path: Path) -> None:
    with opened(tmp_path) as run, pytest.raises(DataError, match="1 keys name two requests, 'a' first"):
        complete(run, [ask("a"), ask("a", "again")], ScriptedWriter(shout, "x"))


def test_a_failure_stops_no_other_and_is_asked_again(tmp_path: Path) -> None:
    requests = [ask(key) for key in "abcd"]

    def flaky(request: Request) -> str | Failure:
        return Failure(reason="HTTP 500") if request.key == "b" else shout(request)

    with opened(tmp_path) as run:
        writer = Backwards(flaky)
        with pytest.raises(BackendError, match="1 of 4 answers of 'completions' are missing; the first, 'b': HTTP 500"):
            complete(run, requests, writer)
        assert writer.asked == list("dcba")
        assert [row["key"] for row in run.rows("completions")] == ["a"]  # in order, so none after the missing one
        assert run.measurements()["answers: completions"]["failed"] == 1
        healed = Backwards(shout)
        assert [answer.text for answer in complete(run, requests, healed)] == list("ABCD")
        assert healed.asked == ["b"]


def test_tolerated_failures_are_rows_that_say_so(tmp_path: Path) -> None:
    flaky = Backwards(lambda request: Failure(reason="no") if request.key in "bc" else shout(request))
    with opened(tmp_path) as run:
        with pytest.raises(BackendError, match=r"2 of 4 .* are missing, and 1 may be"):
            complete(run, [ask(key) for key in "abcd"], flaky, max_failed=1)
        answers = complete(run, [ask(key) for key in "abcd"], flaky, max_failed=2)
        assert [answer.finish_reason for answer in answers] == ["stop", "failed", "failed", "stop"]
        assert [row["failure"] for row in run.rows("completions")] == ["", "no", "no", ""]


SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


def by_attempt(*texts: str) -> Any:
    """A script that gives these texts in turn, by the number of messages that came before."""

    def answer(request: Request) -> Completion:
        text = texts[min(len(request.messages) // 2, len(texts) - 1)] if request.key.startswith("bad") else '{"n": 0}'
        numbers = {"prompt_tokens": 10, "completion_tokens": 3}
        return Completion(text=text, finish_reason="stop", writer="scripted: backwards", **numbers)

    return answer


def test_an_answer_that_does_not_fit_is_asked_again_and_every_attempt_counts(tmp_path: Path) -> None:
    requests = [ask("good", schema=SCHEMA), ask("bad", schema=SCHEMA), ask("free")]
    writer = Backwards(by_attempt("no JSON", '```json\n{"n": 7}\n```'))
    with opened(tmp_path) as run:
        good, bad, free = complete(run, requests, writer)
        assert run.measurements()["answers: completions"]["prompt_tokens"] == 40
    assert writer.asked == ["free", "bad", "good", "bad (attempt 2)"]
    assert (good.value, good.attempts, good.prompt_tokens) == ({"n": 0}, 1, 10)
    assert (bad.value, bad.attempts, bad.prompt_tokens, bad.completion_tokens) == ({"n": 7}, 2, 20, 6)
    assert free.value is None


def test_the_model_sees_its_answer_and_what_was_wrong(tmp_path: Path) -> None:
    seen: list[Request] = []
    script = by_attempt('{"n": "7"}', '{"n": 7}')
    with opened(tmp_path) as run:
        complete(run, [ask("bad", schema=SCHEMA)], Backwards(lambda request: seen.append(request) or script(request)))
    said, told = seen[1].messages[-2:]
    assert said == {"role": "assistant", "content": '{"n": "7"}'}
    assert 'at $.n: "7" is not of type' in told["content"]
    assert json.dumps(SCHEMA) in told["content"]


def test_what_is_wrong_is_told_as_json(tmp_path: Path) -> None:
    writer = ScriptedWriter({"a": '{"n": null}'}, "x")
    with (
        opened(tmp_path) as run,
        pytest.raises(BackendError, match=r"null is not of type .*allow so many to fail: .*max_failed=1"),
    ):
        complete(run, [ask("a", schema=SCHEMA)], writer, attempts=1)


@pytest.mark.parametrize("messages", ["How many?", (), b"x", None])
def test_messages_are_a_list(messages: Any) -> None:
    with pytest.raises(ConfigError, match=r"Request.messages is .*; it must be a list of one message or more"):
        Request(key="a", messages=messages)


@pytest.mark.parametrize(
    "message",
    ["How many?", {"content": "x"}, {"role": "user"}, {"role": "user", "content": None}, {"role": 1, "content": "x"}],
)
def test_a_message_has_a_role_and_says_something(message: Any) -> None:
    with pytest.raises(DataError, match=r"Message 1 of request 'a' is .*; it must be a dict with a role"):
        Request(key="a", messages=({"role": "user", "content": ""}, message))


def test_an_answer_becomes_the_assistants_turn() -> None:
    calls = [{"id": "1", "type": "function", "function": {"name": name, "arguments": {}}} for name in ("add", "fly")]
    plain = Completion(text=" 5", finish_reason="stop", writer="x")
    assert plain.message("It is") == {"role": "assistant", "content": "It is 5"}
    called = replace(plain, text="", tool_calls=tuple(calls))
    assert called.message() == {"role": "assistant", "content": "", "tool_calls": calls}
    Request(key="a", messages=(called.message(), {"role": "tool", "content": "5", "tool_call_id": "1"}))
    assert called.unknown_calls([{"type": "function", "function": {"name": "add"}}]) == calls[1:]
    assert called.unknown_calls(()) == calls


def test_unfit_answers_end_as_a_failure_and_are_not_paid_again(tmp_path: Path) -> None:
    requests, writer = [ask("bad", schema=SCHEMA), ask("good", schema=SCHEMA)], Backwards(by_attempt("[1]"))
    with opened(tmp_path) as run:
        for _ in range(2):
            with pytest.raises(BackendError, match="2 answers did not fit the schema; the last: at"):
                complete(run, requests, writer, attempts=2)
        assert writer.asked == ["good", "bad", "bad (attempt 2)"]
        bad, good = complete(run, requests, writer, attempts=2, max_failed=1)
        assert (bad.finish_reason, bad.attempts, bad.prompt_tokens) == ("failed", 2, 20)
        assert good.value == {"n": 0}


@pytest.mark.parametrize("stop_after", range(1, 8))
def test_attempts_survive_an_interruption_too(tmp_path: Path, stop_after: int) -> None:
    requests = [ask(key, schema=SCHEMA) for key in ("bad 1", "good", "bad 2")]
    script = by_attempt("1", "2", '{"n": 3}')
    whole = Backwards(script)
    with opened(tmp_path / "whole") as run:
        complete(run, requests, whole)
    first, second = Backwards(script, stop_after=stop_after), Backwards(script)
    if stop_after < len(whole.asked):
        with pytest.raises(KeyboardInterrupt), opened(tmp_path / "cut") as run:
            complete(run, requests, first)
    with opened(tmp_path / "cut") as run:
        complete(run, requests, second)
    assert first.asked + second.asked == whole.asked
    assert fingerprints(tmp_path / "cut", skip=VOLATILE) == fingerprints(tmp_path / "whole", skip=VOLATILE)


def test_the_prefill_is_part_of_the_json(tmp_path: Path) -> None:
    with opened(tmp_path) as run:
        (answer,) = complete(run, [ask("a", schema=SCHEMA, prefill='{"n":')], ScriptedWriter({"a": " 5}"}, "x"))
    assert (answer.text, answer.value) == (" 5}", {"n": 5})


@pytest.mark.parametrize("text", ["NaN", '{"n": 1', "[" * 100_000, ""])
def test_what_is_no_json_is_unfit(tmp_path: Path, text: str) -> None:
    with opened(tmp_path) as run, pytest.raises(BackendError, match="it is no JSON"):
        complete(run, [ask("a", schema={})], ScriptedWriter({"a": text}, "x"), attempts=1)


def test_a_schema_that_is_none_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    writer = Backwards(shout)
    with opened(tmp_path) as run, pytest.raises(DataError, match="schema of request 'a' is no JSON schema"):
        complete(run, [ask("a", schema={"type": "nothing"})], writer)
    assert writer.asked == []


def test_only_one_process_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(tmp_path) as run:
        complete(run, [ask("a")], ScriptedWriter(shout, "x"))
    monkeypatch.setenv("RANK", "1")
    with opened(tmp_path) as run:
        assert complete(run, [ask("a")], ScriptedWriter(shout, "x"))[0].text == "A"
        with pytest.raises(BackendError, match="only one process may ask"):
            complete(run, [ask("b")], ScriptedWriter(shout, "x"))


def test_a_stop_string_cuts_the_script_too_and_is_told(tmp_path: Path) -> None:
    with opened(tmp_path) as run:
        stop = Sampling(stop=("```", "`"))
        (answer,) = complete(run, [ask("a", sampling=stop)], ScriptedWriter({"a": "1 + 1```\nmore`"}, "x"))
    assert (answer.text, answer.stop_string) == ("1 + 1", "```")


def test_a_script_without_the_key_says_so(tmp_path: Path) -> None:
    with opened(tmp_path) as run, pytest.raises(DataError, match="'scripted: x' has no text for the request 'b'"):
        complete(run, [ask("b")], ScriptedWriter({"a": "1"}, "x"))


def test_untold_tokens_are_counted_and_prices_give_a_cost() -> None:
    told = Completion(text="", finish_reason="stop", writer="x", prompt_tokens=1_000_000, completion_tokens=500_000)
    sums = usage([told, replace(told, prompt_tokens=None)], prices=(2.0, 8.0))
    assert (sums.answers, sums.untold, sums.cost) == (2, 1, 2.0 + 4.0 + 4.0)
    assert usage([told]).cost is None


@pytest.mark.parametrize(
    ("field", "value"), [("temperature", -0.1), ("top_p", 0.0), ("top_p", 1.1), ("max_tokens", 0), ("stop", ("",))]
)
def test_sampling_is_checked(field: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"Sampling.{field} is"):
        Sampling(**{field: value})
