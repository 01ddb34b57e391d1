"""The real server under every fault, and a job killed in the middle: nothing is lost, nothing is paid twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tenon.core.chat import Request, Sampling, ServerConfig, complete
from tenon.core.chat.local import LocalWriter
from tenon.core.chat.server import ServerWriter
from tenon.core.errors import BackendError
from tenon.core.files import fingerprints
from tenon.core.run import RECEIVED, VOLATILE, Run
from tests.core.chat.conftest import NANO
from tests.core.chat.loopback import Loopback, Reply, Spoiling, free_port, post, question

COUNT = 12


def requests(count: int = COUNT, **options: object) -> list[Request]:
    return [
        Request(
            key=f"q{number}",
            messages=({"role": "user", "content": f"Tom has {number} apples and buys 4 more. How many has he?"},),
            sampling=Sampling(max_tokens=40),
            **options,  # type: ignore[arg-type]
        )
        for number in range(count)
    ]


def text(number: int) -> str:
    return str(requests()[number].messages[0]["content"])


def writer(url: str, **options: object) -> ServerWriter:
    return ServerWriter(
        ServerConfig(base_url=url, **{"model": NANO, "concurrency": 4, "backoff_s": 0.05} | options)  # type: ignore[arg-type]
    )


def work(folder: Path, url: str, asked: list[Request] | None = None, **options: object) -> list[str]:
    with Run.open(folder, config={}) as run:
        return [answer.text for answer in complete(run, asked or requests(), writer(url, **options))]


@pytest.fixture(scope="module")
def whole(real_server: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that nothing disturbed, one request after another."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    work(folder, real_server, concurrency=1)
    return folder


def test_the_server_answers_as_the_model_in_this_process(whole: Path) -> None:
    writer = LocalWriter("nano-lm", device="cpu")
    texts = {place: answer.text for place, answer in writer.write(requests(), seed=0)}  # type: ignore[union-attr]
    rows = [json.loads(line) for line in (whole / "completions.jsonl").read_text().splitlines()]
    assert [row["text"] for row in rows] == [texts[place] for place in range(COUNT)]
    assert {row["writer"] for row in rows} == {"nano-lm (server)"}


def test_under_every_fault_nothing_is_lost_and_nothing_is_paid_twice(
    real_server: str, whole: Path, tmp_path: Path
) -> None:
    faults = {
        text(0): [Reply({"error": {"message": "later"}}, 429, {"retry-after": "0.3"})],
        text(1): [Reply({"error": {"message": "oops"}}, 500), Reply({}, 503)],
        text(2): [Reply({"choices": [{"message": {"content": "half of it"}}]}, cut=True)],
        text(3): [Reply(b'{"choices": [{"mess')],
        text(5): [Reply({}, silent_s=7.0)],
        text(6): [Reply(reset=True), Reply(b"<html>", 502), Reply({"choices": []})],
        text(8): [Reply({"error": {"message": "overloaded"}}, 529)] * 3,
    }
    port, spoiling = free_port(), Spoiling(real_server, faults)
    proxy = Loopback.__new__(Loopback)

    def start_late() -> None:  # until then the connection is refused
        time.sleep(0.5)
        proxy.__init__(spoiling, port)  # type: ignore[misc]
        proxy.__enter__()

    starting = threading.Thread(target=start_late)
    starting.start()
    try:
        work(tmp_path / "run", f"http://127.0.0.1:{port}/v1", timeout_s=6.0, backoff_s=1.0)
    finally:
        starting.join()
        proxy.__exit__()
    assert not any(faults.values())
    assert spoiling.paid == {text(number): 1 for number in range(COUNT)}
    assert fingerprints(tmp_path / "run", skip=VOLATILE) == fingerprints(whole, skip=VOLATILE)


def test_what_failed_is_asked_again_by_the_same_command_and_nothing_else(
    real_server: str, whole: Path, tmp_path: Path
) -> None:
    spoiling = Spoiling(real_server, {text(4): [Reply({}, 500)] * 2, text(7): [Reply({"error": "no"}, 400)]})
    with Loopback(spoiling) as proxy:
        with pytest.raises(BackendError, match=r"2 of 12 answers .* are missing; the first, 'q4': HTTP 500"):
            work(tmp_path / "run", proxy.url, retries=1)
        assert len(spoiling.paid) == COUNT - 2
        work(tmp_path / "run", proxy.url)
    assert spoiling.paid == {text(number): 1 for number in range(COUNT)}
    assert fingerprints(tmp_path / "run", skip=VOLATILE) == fingerprints(whole, skip=VOLATILE)


JOB = """
import sys
from pathlib import Path
from tests.core.chat.test_faults import work
work(Path(sys.argv[1]), sys.argv[2])
"""


@pytest.mark.parametrize("answered", [3, 8])
def test_a_killed_job_goes_on_and_asks_for_nothing_that_had_arrived(
    real_server: str, whole: Path, tmp_path: Path, answered: int
) -> None:
    spoiling, folder = Spoiling(real_server), tmp_path / "run"
    with Loopback(spoiling) as proxy:
        command = [sys.executable, "-c", JOB, str(folder), proxy.url]
        job = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])})
        while not (folder / RECEIVED).exists() or _lines(folder) < answered:
            assert job.poll() is None
            time.sleep(0.005)
        job.send_signal(signal.SIGKILL)
        job.wait()
        durable = {json.loads(line)["key"] for line in (folder / RECEIVED).read_text().splitlines(keepends=True)[:-1]}
        time.sleep(1.0)  # what was under way when the job died
        before = len(proxy.seen)
        work(folder, proxy.url)
        asked = {question(body) for body in proxy.seen[before:]}
    assert answered - 1 <= len(durable) < COUNT
    assert not asked & {text(int(key.removeprefix("q"))) for key in durable}
    assert COUNT - len(asked) >= len(durable)
    assert fingerprints(folder, skip=VOLATILE) == fingerprints(whole, skip=VOLATILE)


def _lines(folder: Path) -> int:
    return (folder / RECEIVED).read_bytes().count(b"\n")


# What `transformers serve` lacks, and how it is met.


def test_a_prefill_goes_as_text_with_one_begin_token(real_server: str, tmp_path: Path) -> None:
    asked = requests(3, prefill="Step 1: Together")
    local = LocalWriter("nano-lm", device="cpu")
    expected = dict(local.write(asked, seed=0))
    with Run.open(tmp_path, config={}) as run:
        found = complete(run, asked, writer(real_server, prefill="text", tokenizer="nano-lm"))
    assert [answer.text for answer in found] == [expected[place].text for place in range(3)]  # type: ignore[union-attr]
    assert [answer.prompt_tokens for answer in found] == [expected[place].prompt_tokens for place in range(3)]  # type: ignore[union-attr]


def test_it_would_have_read_two_begin_tokens(real_server: str) -> None:
    """So that the test above shows something: as text alone the begin token is doubled."""
    body = {"model": NANO, "prompt": "<|begin|><|user|>Hi<|end|><|assistant|>", "max_tokens": 1}
    counts = [
        json.loads(post(f"{real_server}/completions", body | {"prompt": prompt})[1])["usage"]["prompt_tokens"]
        for prompt in (body["prompt"], str(body["prompt"]).removeprefix("<|begin|>"))
    ]
    assert counts[0] == counts[1] + 1


def test_another_tokenizer_is_found_out(real_server: str, tmp_path: Path) -> None:
    from tenon.core.models.loading import load_tokenizer

    other = load_tokenizer("nano-lm")
    other.add_tokens(["Tom has"])
    other.save_pretrained(tmp_path / "other")
    one = writer(real_server, prefill="text", tokenizer=str(tmp_path / "other"))
    with pytest.raises(BackendError, match=r"by the tokenizer of .* it has another"):
        list(one.write(requests(1, prefill="x"), seed=0))


def test_it_refuses_to_continue_a_message_and_is_named(real_server: str) -> None:
    with pytest.raises(BackendError, match=r"nano-lm \(server\) does not go on .*HTTP 422"):
        list(writer(real_server).write(requests(1, prefill="x"), seed=0))


def test_it_keeps_the_stop_string_and_we_do_not(real_server: str) -> None:
    (one,) = requests(1)
    asked = Request(key="s", messages=one.messages, sampling=Sampling(max_tokens=40, stop=("\nAns",)))
    body = {"model": NANO, "messages": list(one.messages), "max_tokens": 40, "stop": ["\nAns"], "temperature": 0}
    raw = json.loads(post(f"{real_server}/chat/completions", body)[1])["choices"][0]["message"]["content"]
    ((_, answer),) = writer(real_server).write([asked], seed=0)
    assert "\nAns" in raw
    assert answer.text == raw.split("\nAns")[0]  # type: ignore[union-attr]
    assert answer.stop_string == "\nAns"  # type: ignore[union-attr]


def test_it_draws_only_when_told_to(real_server: str) -> None:
    hot = [
        Request(key=f"k{n}", messages=requests()[0].messages, sampling=Sampling(temperature=3.0, max_tokens=8))
        for n in range(3)
    ]

    def texts(**options: object) -> list[str]:
        one = writer(real_server, concurrency=1, **options)  # its seed is one for all that is under way
        return [answer.text for _, answer in sorted(one.write(hot, seed=0))]  # type: ignore[union-attr]

    assert len(set(texts())) == 1
    drawn = texts(extra={"generation_config": '{"do_sample": true}'})
    assert len(set(drawn)) == 3
    assert drawn == texts(extra={"generation_config": '{"do_sample": true}'})


def test_another_model_stops_at_once(real_server: str) -> None:
    with pytest.raises(BackendError, match=r"knows no such model.*'other-model'"):
        list(writer(real_server, model="other-model", concurrency=1).write(requests(), seed=0))


def test_an_answer_that_must_fit_is_asked_again_and_counted(real_server: str, tmp_path: Path) -> None:
    asked = requests(2, schema={"type": "object"})  # nano-lm writes no JSON, and the server ignores the format
    with Loopback(Spoiling(real_server)) as proxy, Run.open(tmp_path, config={}) as run:
        with pytest.raises(BackendError, match=r"2 of 2 .*: 2 answers did not fit the schema; the last: it is no JSON"):
            complete(run, asked, writer(proxy.url), attempts=2)
        assert len(proxy.seen) == run.measurements()["answers: completions"]["answers"] == 4
        with pytest.raises(BackendError):
            complete(run, asked, writer(proxy.url), attempts=2)
        assert len(proxy.seen) == 4
