"""Reading text: every kind of source, in a fixed order, with an error that says what to do."""

from __future__ import annotations

import gzip
import json
import lzma
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from tenon.core.errors import DataError
from tenon.core.models.tiny import tiny_tokenizer
from tenon.tasks.text import (
    PYTHON_DOCS,
    PYTHON_SOURCES,
    Document,
    calibration_windows,
    python_docs,
    read_documents,
    stream_ids,
)


def test_python_docs_are_there_on_every_machine() -> None:
    text = python_docs()
    assert len(text) > 400_000
    assert "\r" not in text
    assert text == python_docs()


def test_python_sources_are_the_library_without_tests_and_installed_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("b.py", "a/c.py", "a/test/t.py", "tests/u.py", "site-packages/v.py", "_sysconfigdata_x.py", "a/d.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"# {name} \r\n")
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(tmp_path) if name == "stdlib" else "")
    found = {document.key: document.text for document in read_documents(PYTHON_SOURCES)}
    assert list(found) == ["python-sources/a/c.py", "python-sources/b.py"]  # in the order of names
    assert found["python-sources/b.py"] == "# b.py\n"


def test_python_sources_are_there() -> None:
    keys = [document.key for document in islice(read_documents(PYTHON_SOURCES), 100)]
    assert keys == sorted(keys)
    assert "python-sources/argparse.py" in keys
    assert len(set(keys)) == 100


@pytest.mark.parametrize("suffix", ["", ".xz", ".gz"])
def test_jsonl_is_read_plain_and_compressed(tmp_path: Path, suffix: str) -> None:
    rows = [{"text": "one \r\ntwo", "title": "A"}, {"text": "three", "title": "B"}]
    blob = "\n".join(json.dumps(row) for row in rows).encode()
    pack = {"": bytes, ".xz": lzma.compress, ".gz": gzip.compress}[suffix]
    path = tmp_path / f"books.jsonl{suffix}"
    path.write_bytes(pack(blob))
    first, second = read_documents(path)
    assert (first.text, first.facts) == ("one\ntwo", {"title": "A"})
    assert second.key == f"books.jsonl{suffix}:2"


def test_folder_is_read_in_the_order_of_names(tmp_path: Path) -> None:
    for name in ("b.txt", "a.md", "ignored.bin"):
        (tmp_path / name).write_text(name)
    assert [document.text for document in read_documents(tmp_path)] == ["a.md", "b.txt"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.jsonl", b'{"text": "a"}\n{"txt": "b"}\n', r"line 2 has no text under 'text' \(keys: txt\)"),
        ("x.jsonl", b'{"text": "a"}\n{"text": \n', "line 2 is not JSON"),
        ("x.jsonl", b"[1]\n", "line 1 is a JSON list"),
        ("x.bin", b"abc", "is no text file known here"),
        ("x.txt", b"\xff\xfe\x00", "can not be read as UTF-8"),
        ("x.jsonl.xz", lzma.compress(b'{"text": "a"}')[:-8], "can not be read"),
        ("x.jsonl.gz", b"not gzip", "can not be read"),
        ("x.txt.gz", gzip.compress(b"abc" * 100, mtime=0)[:12] + b"\xff" * 20, "can not be read"),
        ("x.jsonl", b"\n", "holds no text at all"),
    ],
)
def test_bad_files_are_named_with_line_and_remedy(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        list(read_documents(path))


def test_an_empty_folder_says_what_it_should_hold(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no text file"):
        list(read_documents(tmp_path))


def test_a_wrong_path_is_no_stack_trace_of_the_hub(tmp_path: Path) -> None:
    for absent in (tmp_path / "absent.txt", "absent.jsonl.xz"):  # the hub is not asked for what can only be a file
        with pytest.raises(DataError, match=r"There is no .*absent.*; give a file or folder that is there"):
            list(read_documents(absent))


def test_the_hub_is_asked_for_configuration_and_split_and_may_break_off(monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")

    def load(name: str, config: str | None, *, split: str, streaming: bool) -> Iterator[dict[str, str]]:
        assert (name, config, split, streaming) == ("who/what", "raw", "test", True)
        yield {"text": "one"}
        raise ConnectionError("the line is dead")

    monkeypatch.setattr(datasets, "load_dataset", load)
    rows = read_documents("who/what:raw:test")
    assert next(rows).text == "one"
    with pytest.raises(DataError, match=r"stopped after 1 rows of who/what.*the line is dead"):
        next(rows)


def test_calibration_windows_are_stretches_of_the_documents() -> None:
    tokenizer = tiny_tokenizer()
    documents = [Document("a", "abcdefgh" * 20), Document("short", "ab"), Document("b", "12345, 678. " * 30)]
    windows = calibration_windows(tokenizer, documents, count=16, length=12, seed=3)
    assert windows.shape == (16, 12)
    texts = [tokenizer.decode(row).replace(" ", "") for row in windows]
    assert all(any(text in document.text.replace(" ", "") for document in documents) for text in texts)
    again = calibration_windows(tokenizer, documents, count=16, length=12, seed=3)
    assert windows.tolist() == again.tolist()
    other = calibration_windows(tokenizer, documents, count=16, length=12, seed=4)
    assert windows.tolist() != other.tolist()


def test_calibration_refuses_windows_longer_than_every_document() -> None:
    with pytest.raises(DataError, match="No document has 500 tokens"):
        calibration_windows(tiny_tokenizer(), [Document("a", "abc")], count=1, length=500)


def test_stream_stops_at_its_limit() -> None:
    documents = [document for document, _ in zip(read_documents(PYTHON_DOCS), range(3), strict=False)]
    rows = list(stream_ids(tiny_tokenizer(), iter(documents), limit=1000))
    assert sum(len(row) for row in rows) == 1000
