"""Running text: local files and folders, hub data sets, and a text that every Python carries.

A *source* is one string. `python-docs` is the 465 KB of English that ships with CPython, `python-sources` the 12 MB of
code of its standard library, a path is read from disk, anything else is taken for the name of a data set on the Hugging
Face hub.

>>> document = next(read_documents("python-docs"))
>>> document.key, document.text[:27]
('python-docs/assert', 'The "assert" statement\\n****')
"""

from __future__ import annotations

import gzip
import json
import lzma
import sysconfig
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from tenon.core.errors import DataError
from tenon.core.seeds import numpy_rng

if TYPE_CHECKING:
    from jaxtyping import Int
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

__all__ = [
    "PYTHON_DOCS",
    "PYTHON_SOURCES",
    "Document",
    "calibration_windows",
    "normalize",
    "python_docs",
    "read_documents",
    "stream_ids",
]

PYTHON_DOCS = "python-docs"
"""Name of the source that exists on every machine: `pydoc_data.topics`, the language reference behind `help()`."""

PYTHON_SOURCES = "python-sources"
"""Name of the larger source that exists on nearly every machine: the `.py` files of the running Python's library."""

NOT_SOURCES = frozenset({"site-packages", "dist-packages", "test", "tests", "idle_test", "__pycache__"})
"""Folders that are left out of it: packages that were installed, and tests, which hold odd encodings on purpose."""

TEXT_SUFFIXES = (".txt", ".md", ".rst", ".jsonl")
COMPRESSED: dict[str, Callable[..., IO[str]]] = {".xz": lzma.open, ".gz": gzip.open}


@dataclass(frozen=True)
class Document:
    """One text with its name."""

    key: str
    """Where it came from: unique within its source."""
    text: str
    """The text, line ends normalised to a line feed."""
    facts: dict[str, Any] = field(default_factory=dict)
    """Whatever else the row held (title, author, year ...)."""


def normalize(text: str) -> str:
    r"""Turn every line end into `\n` and drop blanks before it: scanned books mix three conventions.

    >>> normalize("one \r\ntwo\rthree")
    'one\ntwo\nthree'
    """
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return "\n".join(line.rstrip(" \t") for line in lines)


def python_docs() -> str:
    """Give the whole of CPython's language reference as one text, topics in alphabetical order.

    The text differs a little between Python versions; results that use it store its hash.
    """
    return "\n\n".join(document.text for document in read_documents(PYTHON_DOCS))


def read_documents(source: str | Path, *, text_field: str = "text", split: str = "train") -> Iterator[Document]:
    """Read the texts of a source, one at a time, in a fixed order.

    Args:
        source: `python-docs` or `python-sources`; a file (`.txt`, `.md`, `.rst`, or `.jsonl` with one object a line),
            also under `.xz` or `.gz`; a folder of such files, read in the order of their names; or the name of a data
            set on the hub, with its configuration and its split behind colons where it has several
            (`Salesforce/wikitext:wikitext-2-raw-v1:test`).
        text_field: The key that holds the text in `.jsonl` and hub rows.
        split: The split of a hub data set whose name names none.

    Raises:
        DataError: Nothing is found under that name, there is no text in it, a line is no JSON object, or a row has no
            `text_field`.
    """
    found = False
    for document in _read(source, text_field, split):
        found = True
        yield document
    if not found:
        raise DataError(f"{source} holds no text at all; give a file or folder with some.")


def _read(source: str | Path, text_field: str, split: str) -> Iterator[Document]:
    path = Path(source)
    if str(source) == PYTHON_DOCS:
        from pydoc_data.topics import topics

        for name in sorted(topics):
            yield Document(f"{PYTHON_DOCS}/{name}", normalize(topics[name]))
    elif str(source) == PYTHON_SOURCES:
        yield from _python_sources()
    elif path.is_dir():
        files = [file for file in sorted(path.rglob("*")) if _kind(file) in TEXT_SUFFIXES]
        if not files:
            raise DataError(f"{path} holds no text file; put {', '.join(TEXT_SUFFIXES)} (also .xz, .gz) files into it.")
        for file in files:
            yield from _read_file(file, text_field)
    elif path.is_file():
        yield from _read_file(path, text_field)
    elif isinstance(source, Path) or _kind(path) in TEXT_SUFFIXES or path.is_absolute():
        raise DataError(f"There is no {path.absolute()}; give a file or folder that is there, or a data set's name.")
    else:
        yield from _read_hub(str(source), text_field, split)


def _python_sources() -> Iterator[Document]:
    """Give the files of the standard library in the order of their names, which is the same on every machine.

    The text differs between Python versions, and where a system leaves modules out; results store its hash.
    """
    root = Path(sysconfig.get_path("stdlib"))
    found = ((path.relative_to(root).as_posix(), path) for path in root.rglob("*.py"))
    for name, path in sorted(found):
        if NOT_SOURCES.isdisjoint(name.split("/")) and not name.startswith("_sysconfigdata"):  # paths of this machine
            yield Document(f"{PYTHON_SOURCES}/{name}", normalize(path.read_text(encoding="utf-8")))


def calibration_windows(
    tokenizer: PreTrainedTokenizerBase, documents: Sequence[Document], *, count: int, length: int, seed: int = 0
) -> Int[Tensor, "count length"]:
    """Draw windows of token ids, each from one document, documents in proportion to their length.

    Args:
        tokenizer: Turns text into ids; no special tokens are added.
        documents: Where to draw from.
        count: Number of windows.
        length: Tokens per window.
        seed: The draw is a function of this seed, the documents and the tokenizer.

    Raises:
        DataError: No document is long enough for one window.
    """
    import torch

    encoded = [tokenizer(document.text, add_special_tokens=False, verbose=False)["input_ids"] for document in documents]
    fitting = [ids for ids in encoded if len(ids) >= length]
    if not fitting:
        longest = max((len(ids) for ids in encoded), default=0)
        raise DataError(
            f"No document has {length} tokens (the longest has {longest}); shorten the windows or give longer texts."
        )
    rng = numpy_rng(seed, "calibration", count, length)
    starts = [len(ids) - length + 1 for ids in fitting]
    share = [start / sum(starts) for start in starts]
    chosen = rng.choice(len(fitting), size=count, p=share)
    rows = []
    for index in chosen:
        start = int(rng.integers(starts[index]))
        rows.append(fitting[index][start : start + length])
    return torch.tensor(rows)


def stream_ids(
    tokenizer: PreTrainedTokenizerBase, documents: Iterator[Document], *, limit: int | None = None
) -> Iterator[list[int]]:
    """Give the ids of each document in turn, opened by the tokenizer's own special tokens, up to `limit` ids in all."""
    left = limit
    for document in documents:
        ids = tokenizer(document.text, verbose=False)["input_ids"]
        if left is not None:
            ids = ids[:left]
            left -= len(ids)
        if ids:
            yield ids
        if left == 0:
            return


def _kind(path: Path) -> str:
    """Give the suffix that says how to read a file, the one below the compression."""
    return path.with_suffix("").suffix if path.suffix in COMPRESSED else path.suffix


def _open(path: Path) -> IO[str]:
    return COMPRESSED.get(path.suffix, open)(path, "rt", encoding="utf-8", newline="")


def _read_file(path: Path, text_field: str) -> Iterator[Document]:
    if _kind(path) not in TEXT_SUFFIXES:
        raise DataError(
            f"{path} is no text file known here; give one of {', '.join(TEXT_SUFFIXES)}, also under .xz or .gz."
        )
    try:
        with _open(path) as stream:
            if _kind(path) != ".jsonl":
                yield Document(path.name, normalize(stream.read()))
                return
            for number, line in enumerate(stream, start=1):
                if line.strip():
                    yield _document(
                        _parse(line, path, number), text_field, f"{path.name}:{number}", f"{path} line {number}"
                    )
    except (UnicodeDecodeError, EOFError, lzma.LZMAError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(
            f"{path} can not be read as UTF-8 text ({error}). Is the file whole, and is its suffix right?"
        ) from error


def _parse(line: str, path: Path, number: int) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise DataError(
            f"{path} line {number} is not JSON ({error.msg}); a .jsonl file holds one object a line."
        ) from error
    if not isinstance(row, dict):
        raise DataError(f"{path} line {number} is a JSON {type(row).__name__}; a .jsonl file holds one object a line.")
    return row


def _document(row: dict[str, Any], text_field: str, key: str, place: str) -> Document:
    text = row.get(text_field)
    if not isinstance(text, str):
        raise DataError(
            f"{place} has no text under '{text_field}' (keys: {', '.join(row)}). Name the key that holds it."
        )
    return Document(key, normalize(text), {name: value for name, value in row.items() if name != text_field})


def _read_hub(name: str, text_field: str, split: str) -> Iterator[Document]:
    import datasets

    place, _, rest = name.partition(":")
    config, _, named_split = rest.partition(":")
    split = named_split or split
    number = 0
    try:
        for row in datasets.load_dataset(place, config or None, split=split, streaming=True):
            yield _document(row, text_field, f"{name}/{split}/{number}", f"{name} {split} row {number}")
            number += 1
    except (DataError, GeneratorExit):
        raise
    except Exception as error:  # the hub client has no error family of its own, and streams: it may fail at any row
        if number:
            raise DataError(
                f"The hub stopped after {number} rows of {name} ({type(error).__name__}: {error}); check the "
                "connection and try again."
            ) from error
        raise DataError(
            f"'{name}' is neither '{PYTHON_DOCS}' nor '{PYTHON_SOURCES}', nor a file or folder here ({Path.cwd()}), "
            f"and the hub gave no data set of that name ({type(error).__name__}: {error}). Check the path, or the name "
            "and the connection."
        ) from error
