"""Servers: what is sent, what is read, what each fault does. A stub answers; test_faults.py has the real server."""

from __future__ import annotations

import json
import socket
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from tenon.core.chat import Completion, Failure, Request, Sampling, ServerConfig, complete, writer_for
from tenon.core.chat.server import ServerWriter
from tenon.core.config import from_dict, identity, to_dict
from tenon.core.errors import BackendError, ConfigError
from tenon.core.run import RECEIVED, Run
from tests.core.chat.loopback import Loopback, Reply, free_port, question, said


def ask(key: str, **options: Any) -> Request:
    return Request(key=key, messages=({"role": "user", "content": key},), **options)


def writer(server: Loopback | str, **options: Any) -> ServerWriter:
    url = server if isinstance(server, str) else server.url
    return ServerWriter(
        ServerConfig(base_url=url, **{"model": "stub-model", "backoff_s": 0.01, "retries": 3} | options)
    )


def answers(one: ServerWriter, *requests: Request) -> list[Completion | Failure]:
    found = dict(one.write(requests, seed=0))
    return [found[place] for place in range(len(requests))]


def echo(path: str, body: dict[str, Any]) -> Reply:
    return Reply(said(question(body).upper()))


def first(*faults: Reply) -> Any:
    """Give these replies to every question before the echo."""
    times: Counter[str] = Counter()

    def handle(path: str, body: dict[str, Any]) -> Reply:
        number = times[question(body)]
        times[question(body)] += 1
        return faults[number] if number < len(faults) else echo(path, body)

    return handle


# What is sent, and what is read.


def test_a_request_is_sent_as_the_protocol_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "sk-abcdef123456")
    call = {"id": "a1", "type": "function", "function": {"name": "add", "arguments": {"a": 1}}}
    messages = (
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "3", "tool_call_id": "a1"},
    )
    tools = ({"type": "function", "function": {"name": "add", "parameters": {}}},)
    sampling = Sampling(temperature=0.5, top_p=0.9, max_tokens=9, stop=tuple("abcdef"))
    with Loopback(echo) as server:
        one = writer(server, api_key_env="MY_KEY", extra={"top_k": 5, "seed": None})
        answers(one, Request(key="k", messages=messages, tools=tools, sampling=sampling, schema={"type": "object"}))
        (sent,), (headers,) = server.seen, server.headers
    assert headers["authorization"] == "Bearer sk-abcdef123456"
    assert sent["messages"][1]["tool_calls"][0]["function"]["arguments"] == '{"a": 1}'
    assert sent["messages"][2] == messages[2]
    assert sent["response_format"]["json_schema"]["schema"] == {"type": "object"}
    expected = {"temperature": 0.5, "top_p": 0.9, "max_tokens": 9, "stop": list("abcd"), "top_k": 5}
    assert {name: sent[name] for name in expected} == expected
    assert "seed" not in sent


def test_the_seed_belongs_to_the_key() -> None:
    with Loopback(echo) as server:
        answers(writer(server, concurrency=1), ask("a"), ask("b"))
        answers(writer(server), ask("a"))
        a, b, again = (body["seed"] for body in server.seen)
    assert a == again != b


def test_an_answer_is_read_with_its_calls_as_dicts() -> None:
    calls = [
        {"id": "call_9", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}},
        {"id": "call_8", "type": "function", "function": {"name": "bad", "arguments": '{"a": '}},
    ]
    reply = Reply(said(None, "tool_calls", 11, 5, tool_calls=calls))  # type: ignore[arg-type]
    with Loopback(lambda path, body: reply) as server:
        (answer,) = answers(writer(server), ask("a"))
        calls[0]["id"] = "call_of_another_day"
        (again,) = answers(writer(server), ask("a"))
    assert isinstance(answer, Completion)
    assert (answer.text, answer.finish_reason, answer.writer) == ("", "tool_calls", "stub-model (server)")
    assert [call["function"]["arguments"] for call in answer.tool_calls] == [{"a": 1}, '{"a": ']
    assert (answer.prompt_tokens, answer.completion_tokens) == (11, 5)
    assert answer == again  # ids of our own, not the server's


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (said("ab``` c", "stop"), ("ab", "stop", "```")),
        (said("ab``` c", "length"), ("ab", "stop", "```")),
        (said("ab", "length"), ("ab", "length", None)),
        (said("ab", "stop"), ("ab", "stop", None)),
        (said("ab", "content_filter"), ("ab", "refusal", None)),
        (said(None, "stop", refusal="I must not."), ("I must not.", "refusal", None)),  # type: ignore[arg-type]
    ],
)
def test_how_it_ended(message: dict[str, Any], expected: tuple[Any, ...]) -> None:
    with Loopback(lambda path, body: Reply(message)) as server:
        (answer,) = answers(writer(server), ask("a", sampling=Sampling(stop=("```",))))
    assert isinstance(answer, Completion)
    assert (answer.text, answer.finish_reason, answer.stop_string) == expected


def test_vllm_tells_which_stop_string_it_cut_off() -> None:
    message = said("ab")
    message["choices"][0]["stop_reason"] = "```"
    with Loopback(lambda path, body: Reply(message)) as server:
        (answer,) = answers(writer(server), ask("a", sampling=Sampling(stop=("```",))))
    assert isinstance(answer, Completion)
    assert answer.stop_string == "```"


def test_tokens_that_are_not_told_are_none() -> None:
    message = said("ab")
    del message["usage"]
    with Loopback(lambda path, body: Reply(message)) as server:
        (answer,) = answers(writer(server), ask("a"))
    assert isinstance(answer, Completion)
    assert answer.prompt_tokens is None


# Faults that pass.


@pytest.mark.parametrize(
    "fault",
    [
        Reply({"error": {"message": "later"}}, 429),
        Reply({"error": {"message": "oops"}}, 500),
        Reply(b"<html>bad gateway</html>", 502, {"content-type": "text/html"}),
        Reply(said("half"), cut=True),
        Reply(reset=True),
        Reply(said("late"), silent_s=1.0),
        Reply(b'{"choices": [', 200),
        Reply(b"<html>hello</html>", 200, {"content-type": "text/html"}),
        Reply(b"", 200),
        Reply({"choices": []}),
        Reply({"error": {"message": "busy"}}),
        Reply([1, 2]),
        Reply(said("x", "abort")),
        Reply({"choices": [{"finish_reason": "stop", "message": None}]}),
    ],
    ids=lambda fault: f"{fault.status}-{str(fault.body)[:20]}-{fault.cut}{fault.reset}{fault.silent_s}",
)
def test_a_fault_that_passes_is_tried_again(fault: Reply) -> None:
    with Loopback(first(fault, fault)) as server:
        found = answers(writer(server, timeout_s=0.4), ask("a"), ask("b"))
        assert len(server.seen) == 6
    assert [answer.text for answer in found if isinstance(answer, Completion)] == ["A", "B"]


@pytest.mark.parametrize("value", ["1", "date"])
def test_retry_after_is_kept_by_all(value: str) -> None:
    if value == "date":  # whole seconds: between 2 and 3 from now, and a slow start shortens the wait
        value = format_datetime(datetime.now(UTC) + timedelta(seconds=3), usegmt=True)
    times: list[float] = []

    def handle(path: str, body: dict[str, Any]) -> Reply:
        times.append(time.monotonic())
        return Reply({}, 429, {"retry-after": value}) if len(times) == 1 else echo(path, body)

    with Loopback(handle) as server:
        found = answers(writer(server, concurrency=1), ask("a"), ask("b"))
    assert all(isinstance(answer, Completion) for answer in found)
    assert 0.9 <= times[1] - times[0] < 3.5


def test_tries_are_bounded_and_the_others_are_answered() -> None:
    def handle(path: str, body: dict[str, Any]) -> Reply:
        return Reply({"error": {"message": "no memory"}}, 500) if question(body) == "b" else echo(path, body)

    with Loopback(handle) as server:
        a, b, c = answers(writer(server), ask("a"), ask("b"), ask("c"))
        assert len(server.seen) == 2 + 4
    assert isinstance(a, Completion)
    assert isinstance(c, Completion)
    assert isinstance(b, Failure)
    assert "HTTP 500" in b.reason
    assert "no memory" in b.reason
    assert "(4 tries)" in b.reason


def test_a_request_that_is_refused_is_not_tried_again() -> None:
    with Loopback(lambda path, body: Reply({"error": {"message": "8,000 tokens are too many"}}, 400)) as server:
        (answer,) = answers(writer(server), ask("a"))
        assert len(server.seen) == 1
    assert isinstance(answer, Failure)
    assert "8,000 tokens are too many" in answer.reason


# Faults that do not pass.


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (Reply({"error": {"message": "bad key"}}, 401), r"does not accept the key of \$OPENAI_API_KEY .*bad key"),
        (Reply({}, 403), "does not allow it"),
        (Reply({"error": {"message": "no such"}}, 404), "knows no such model.*'stub-model'; it offers: stub-model"),
        (Reply({"detail": "Server is pinned to 'other'; requested 'stub-model'."}, 400), "knows no such model"),
    ],
)
def test_what_holds_for_all_requests_stops_at_once(reply: Reply, message: str) -> None:
    with Loopback(lambda path, body: reply) as server, pytest.raises(BackendError, match=message):
        answers(writer(server, concurrency=2), *[ask(str(number)) for number in range(50)])
    assert len(server.seen) <= 2


def test_after_one_such_answer_no_thread_sends_more() -> None:
    def handle(path: str, body: dict[str, Any]) -> Reply:
        return Reply({}, 401) if question(body) == "0" else Reply(said("x"), silent_s=0.1)

    with Loopback(handle) as server:
        with pytest.raises(BackendError, match="does not accept the key"):
            answers(writer(server, concurrency=2), *[ask(str(number)) for number in range(50)])
        assert len(server.seen) <= 3


def test_what_was_under_way_when_all_stopped_is_not_lost(tmp_path: Path) -> None:
    def handle(path: str, body: dict[str, Any]) -> Reply:
        reply = Reply({}, 401) if question(body) == "b" else echo(path, body)
        reply.silent_s = 0.3 if question(body) == "a" else 0.0
        return reply

    with Loopback(handle) as server, Run.open(tmp_path, config={}) as run:
        with pytest.raises(BackendError, match="does not accept the key"):
            complete(run, [ask("a"), ask("b"), ask("c")], writer(server, concurrency=2))
        assert [row["text"] for row in run.rows("completions")] == ["A"]


def test_a_server_that_is_gone_is_named_and_not_asked_for_ever() -> None:
    one = writer(f"http://127.0.0.1:{free_port()}/v1", retries=1, outage_after=3)
    with pytest.raises(BackendError, match=r"http://127.0.0.1:\d+ left 3 requests .* without an answer.*goes on"):
        answers(one, *[ask(str(number)) for number in range(50)])


def test_a_wrong_port_is_told_at_once_and_given_up_soon(capsys: pytest.CaptureFixture[str]) -> None:
    address = f"http://127.0.0.1:{free_port()}"
    one = ServerWriter(ServerConfig(base_url=f"{address}/v1", model="m"))  # with the waits of its defaults
    begun = time.monotonic()
    with pytest.raises(BackendError, match=rf"{address} cannot be reached: no connection \(.*refused.*3 tries"):
        answers(one, *[ask(str(number)) for number in range(50)])
    assert time.monotonic() - begun < 10
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1
    assert told[0].startswith(f"{address}: no connection (")
    assert told[0].endswith("; trying again (1 of 6)")


@pytest.mark.parametrize("status", [200, 500])
def test_a_server_that_was_there_is_waited_for(status: int) -> None:
    port = free_port()
    one = writer(f"http://127.0.0.1:{port}/v1", retries=4)
    with Loopback(lambda path, body: Reply(said("x"), status, {"connection": "close"}), port):
        answers(one, ask("a"))
    (answer,) = answers(one, ask("b"))
    assert isinstance(answer, Failure)
    assert answer.reason.startswith("no connection")
    assert answer.reason.endswith("(5 tries)")


def test_a_silent_address_is_no_silent_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tenon.core.chat.calls.LONGEST_CONNECTING_S", 0.1)
    with socket.socket() as full:  # nobody accepts, and the queue is full: as behind a firewall
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        with pytest.raises(BackendError, match=r"cannot be reached: no connection \(ConnectTimeout"):
            answers(writer(f"http://127.0.0.1:{full.getsockname()[1]}/v1"), ask("a"))
        for one in waiting:
            one.close()


def test_a_check_finds_out_before_a_run_what_no_request_would_get() -> None:
    with pytest.raises(BackendError, match="cannot be reached"):
        writer(f"http://127.0.0.1:{free_port()}/v1").check([ask("a")])
    with Loopback(echo) as server:
        writer(server).check([ask("a", schema={"type": "object"})])
        (sent,) = server.seen
        assert sent["max_tokens"] == 1
        assert "response_format" not in sent
        with pytest.raises(BackendError, match="does not go on from the beginning"):
            writer(server).check([ask("a", prefill="Step 1:")])
    refused = pytest.raises(BackendError, match=r"does not answer: HTTP 400: .*no system message.*Look at")
    with Loopback(lambda path, body: Reply({"error": "no system message"}, 400)) as server, refused:
        writer(server).check([ask("a")])
    with Loopback(vllm) as server:
        one = writer(server)
        one.check([ask("a", prefill="Step 1:")])
        answers(one, ask("a", prefill="Step 1:"))
        assert len(server.seen) == 2 + 1 + 1  # not probed again


def test_no_message_and_no_file_holds_key_or_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-verysecret99")

    def leak(path: str, body: dict[str, Any]) -> Reply:
        if question(body) == "fatal":
            return Reply({"error": {"message": "the key sk-verysecret99 of Bearer tok.en-1234567"}}, 401)
        return Reply({"error": {"message": "sk-verysecret99 pass-word-1"}}, 400)

    with Loopback(leak) as server, Run.open(tmp_path, config={}) as run:
        one = writer(server.url.replace("127", "user:pass-word-1@127"))
        told = []
        for key in ("item", "fatal"):
            with pytest.raises(BackendError) as caught:
                complete(run, [ask(key)], one, name=key)
            told.append(str(caught.value))
    files = [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    printed = capsys.readouterr()
    for text in [*told, *files, printed.out, printed.err, str(one.identity())]:
        for secret in ("verysecret99", "pass-word-1", "tok.en-1234567"):
            assert secret not in text
    assert "***" in told[0]
    assert server.url not in (tmp_path / RECEIVED).read_text()


# How fast.


def test_no_more_at_once_than_asked_for() -> None:
    def slow(path: str, body: dict[str, Any]) -> Reply:
        return Reply(said("x"), silent_s=0.05)

    with Loopback(slow) as server:
        answers(writer(server, concurrency=3), *[ask(str(number)) for number in range(12)])
    assert server.most_at_once == 3


def test_the_rate_is_kept() -> None:
    with Loopback(echo) as server:
        begun = time.monotonic()
        answers(writer(server, requests_per_minute=1200), *[ask(str(number)) for number in range(9)])
        assert time.monotonic() - begun >= 8 * 0.05


def test_prices_give_the_cost(tmp_path: Path) -> None:
    with Loopback(echo) as server, Run.open(tmp_path, config={}) as run:
        complete(run, [ask("a"), ask("b")], writer(server, price_prompt=1.0, price_completion=10.0))
        facts = run.measurements()["answers: completions"]
    assert (facts["answers"], facts["prompt_tokens"], facts["completion_tokens"]) == (2, 14, 6)
    assert facts["cost"] == pytest.approx((14 * 1 + 6 * 10) / 1e6)


# Prefill.


def vllm(path: str, body: dict[str, Any]) -> Reply:
    """Renders as vLLM does: a closed message costs two tokens, and so does the head of a new one."""
    tokens = sum(len(message["content"].split()) + 3 for message in body["messages"])
    tokens += -1 if body.get("continue_final_message") else 2
    return Reply(said(" and on", prompt=tokens))


def test_a_prefill_is_a_message_to_be_continued() -> None:
    with Loopback(vllm) as server:
        (answer,) = answers(writer(server), ask("a", prefill="Step 1:"))
        sent = server.seen[-1]
        assert len(server.seen) == 3
    assert isinstance(answer, Completion)
    assert answer.text == " and on"
    assert sent["messages"][-1] == {"role": "assistant", "content": "Step 1:"}
    assert (sent["continue_final_message"], sent["add_generation_prompt"]) == (True, False)


def test_it_is_checked_once_and_only_where_there_is_a_prefill() -> None:
    with Loopback(vllm) as server:
        one = writer(server)
        answers(one, ask("a"))
        assert len(server.seen) == 1
        answers(one, ask("a", prefill="x"))
        answers(one, ask("b", prefill="x"))
        assert len(server.seen) == 1 + 3 + 1


@pytest.mark.parametrize("kind", ["ignores it", "refuses the fields", "tells no tokens"])
def test_a_server_that_does_not_go_on_is_found_out(kind: str) -> None:
    def handle(path: str, body: dict[str, Any]) -> Reply:
        if kind == "refuses the fields" and "continue_final_message" in body:
            return Reply({"detail": "Unexpected fields in the request: {'continue_final_message'}"}, 422)
        body.pop("continue_final_message", None)
        reply = vllm(path, body)
        if kind == "tells no tokens":
            del reply.body["usage"]
        return reply

    with Loopback(handle) as server:
        one = writer(server)
        with pytest.raises(BackendError, match=r"does not go on .*--server prefill=text --server tokenizer=NAME"):
            answers(one, ask("a", prefill="Step 1:"))
        assert not any("Step 1:" in str(body) for body in server.seen)


# Structured answers.


def test_a_server_without_response_format_is_asked_without(tmp_path: Path) -> None:
    def handle(path: str, body: dict[str, Any]) -> Reply:
        if "response_format" in body:
            return Reply({"error": {"message": "response_format is not supported"}}, 400)
        return Reply(said('{"n": 3}'))

    schema = {"type": "object", "required": ["n"]}
    with Loopback(handle) as server, Run.open(tmp_path, config={}) as run:
        found = complete(run, [ask(str(n), schema=schema) for n in range(3)], writer(server, concurrency=1))
        assert [answer.value for answer in found] == [{"n": 3}] * 3
        assert ["response_format" in body for body in server.seen] == [True, False, False, False]


def test_an_answer_that_does_not_fit_is_asked_again(tmp_path: Path) -> None:
    def handle(path: str, body: dict[str, Any]) -> Reply:
        return Reply(said('{"n": 3}' if len(body["messages"]) > 1 else "three"))

    with Loopback(handle) as server, Run.open(tmp_path, config={}) as run:
        (answer,) = complete(run, [ask("a", schema={"type": "object"})], writer(server))
        assert run.measurements()["answers: completions"]["completion_tokens"] == 6
    assert (answer.value, answer.attempts, answer.completion_tokens) == ({"n": 3}, 2, 6)
    assert server.seen[1]["messages"][1] == {"role": "assistant", "content": "three"}


# The config.


def test_the_address_and_how_fast_are_no_part_of_the_work() -> None:
    config = ServerConfig(base_url="http://localhost:8000/v1", model="m")
    assert from_dict(ServerConfig, json.loads(json.dumps(to_dict(config)))) == config
    assert set(identity(config)) == {"model", "prefill", "tokenizer", "schema_format", "extra"}
    assert writer_for("/data/nano-lm", base_url="http://localhost:8000/v1").name == "nano-lm (server)"
    assert writer_for("nano-lm", batch_size=3).identity()["batch_size"] == "3"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"base_url": "localhost:8000"}, "base_url is no address"),
        ({"concurrency": 0}, "concurrency is 0"),
        ({"prefill": "text"}, "tokenizer is None"),
        ({"price_prompt": 1.0}, "price_completion is None"),
        ({"timeout_s": 0.0}, "timeout_s is 0"),
        ({"requests_per_minute": 0.0}, "requests_per_minute is 0"),
    ],
)
def test_the_config_is_checked(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ServerConfig(**{"base_url": "http://localhost:8000/v1", "model": "m"} | options)
