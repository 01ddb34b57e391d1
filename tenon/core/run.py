"""Run: one folder per piece of long work. Kill it at any line; the same command goes on, to the same files.

    config.json     the settings that can change the result, the seed, hashes of data and weights
    <name>.jsonl    rows, each with a key            metrics.jsonl   numbers by step
    <name>.json     saved objects                    stages.json     finished stages and their facts
    tables/ figures/ excerpts/ contents.json         what the report shows, in which order
    report.html     also report.md and report.json
    volatile.json   times, host, process, versions, command, notices: whatever may differ between equal runs
    received.jsonl  what models answered, in the order of arrival, where any were asked
    lock            held by the one process that may write

Every file but those in `VOLATILE` is byte for byte what an uninterrupted run writes, provided that the work is a
function of the config and of seeds derived by name. `report.html` also shows the machine and the versions.
"""

from __future__ import annotations

import dataclasses
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from tenon.core import config as configs
from tenon.core import report as reports
from tenon.core.errors import DataError, RunConflict
from tenon.core.files import json_bytes, plain, read_json, write_atomic
from tenon.core.folder import claim
from tenon.core.machine import machine_facts, versions
from tenon.core.progress import length, progress
from tenon.core.ranks import is_main
from tenon.core.rows import Lines, Metrics, Rows
from tenon.core.session import Session

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Plot

__all__ = ["RECEIVED", "VOLATILE", "Run"]

T = TypeVar("T")

RECEIVED = "received.jsonl"
"""Answers of models in the order of their arrival; `tenon.core.chat` keeps them here until their rows stand."""

VOLATILE = ("lock", "volatile.json", RECEIVED)
"""The files that may differ between two runs of the same work."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_OURS = frozenset({"config", "contents", "metrics", "received", "report", "stages", "volatile"})


class Run:
    """A folder that remembers what is done; open it with `Run.open`, in a `with` statement.

    Threads may share it. Rows stand in the order in which they are appended, so work that must give equal files appends
    in a fixed order, whichever thread is ready first.
    """

    path: Path
    """The folder."""
    config: dict[str, Any]
    """The settings that can change the result, as plain values."""
    seed: int
    """Root of all randomness; derive from it by name."""

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        config: Any,
        command: str = "",
        seed: int = 0,
        identity: Mapping[str, str] | None = None,
        fresh: bool = False,
    ) -> Run:
        """Begin a run, or continue the one in this folder; of several processes of one training, only rank 0 does.

        Args:
            path: The folder; made when absent.
            config: A config dataclass or a dict of plain values. What cannot change a result (device, workers, output)
                is no part of the run's identity: see `tenon.core.config.identity`.
            command: The command that does the work, for the record.
            seed: Root of all randomness.
            identity: Names and hashes of the data and weights that can change the result.
            fresh: Delete the run in this folder, with everything in it, and begin again.

        Raises:
            RunConflict: The run has other settings (each is named, old and new); another live process writes here; or
                the folder holds files and is no run, which `fresh` does not delete either.
            DataError: Something else than a kill damaged a file of the run.
        """
        from tenon.core.onlooker import Onlooker  # here: it is a Run itself

        run = cls.__new__(cls if is_main() else Onlooker)
        run._begin(Path(path), config, command, seed, dict(identity or {}), fresh)
        return run

    def _begin(self, path: Path, config: Any, command: str, seed: int, identity: dict[str, str], fresh: bool) -> None:
        is_dataclass = dataclasses.is_dataclass(config)
        self.path, self.seed = path, seed
        self.config = plain(configs.identity(config) if is_dataclass else config, "config")
        settings = {"config": self.config, "seed": seed, "identity": plain(identity, "identity")}
        self._mutex, self._is_open = threading.RLock(), True

        def complete(stored: dict[str, Any]) -> dict[str, Any]:
            return plain(configs.completed(stored, config) if is_dataclass else stored, "config")

        self._lock = claim(path, settings, complete=complete, fresh=fresh)
        try:
            self._session = Session(
                path / "volatile.json", command=command, options=configs.to_dict(config) if is_dataclass else config
            )
            self._cut_torn_lines()
            self._rows: dict[str, Rows] = {}
            self._metrics = Metrics(path / "metrics.jsonl")
            self._stages: dict[str, dict[str, Any]] = self._read("stages") or {}
            self._contents: dict[str, list[str]] = self._read("contents") or {"tables": [], "figures": [], "notes": []}
        except BaseException:
            self._lock.release()
            raise

    def _cut_torn_lines(self) -> None:
        for path in sorted(self.path.glob("*.jsonl")):
            if torn := Lines(path).torn_bytes:
                self._session.notice(
                    f"{path.name}: cut 1 line that a kill had torn ({torn} bytes); its work is done again."
                )

    def close(self, outcome: str = "finished") -> None:
        """End the session and give the folder back; more than once is harmless."""
        with self._mutex:
            if self._is_open:
                self._is_open = False
                try:
                    self._session.end(outcome)
                finally:
                    self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close("finished" if kind is None else f"{kind.__name__}: {error}")

    @property
    def notices(self) -> list[str]:
        """What the user should know of this session, e.g. that a torn line was cut."""
        return list(self._session.notices)

    # Rows: work that is done item by item.

    def append(self, name: str, row: Mapping[str, Any]) -> bool:
        """Add a row to `<name>.jsonl` durably: when this returns, no kill loses it.

        Args:
            name: The file.
            row: Plain values and a text `key`.

        Returns:
            Whether it is new; a row that already stands there is not added again.

        Raises:
            DataError: No text key; a value without a JSON form (NaN and infinity have none: write None and count it);
                or another row stands under this key.
        """
        with self._writing():
            return self._file(name).append(row)

    def rows(self, name: str) -> list[dict[str, Any]]:
        """Give all rows of `<name>.jsonl` in order; none when there is no such file."""
        with self._mutex:
            return list(self._file(name))

    def keys(self, name: str) -> set[str]:
        """Give the keys of all rows of `<name>.jsonl`."""
        with self._mutex:
            return self._file(name).keys()

    def done(self, name: str, key: str) -> bool:
        """Say whether `<name>.jsonl` holds a row with this key."""
        with self._mutex:
            return key in self._file(name)

    def track(
        self,
        items: Iterable[T],
        label: str,
        *,
        name: str | None = None,
        key: Callable[[T], str] | None = None,
        total: int | None = None,
    ) -> Iterator[T]:
        """Go through `items` under a progress bar, leaving out those whose row is already there.

        Args:
            items: What is to be done.
            label: What the bar says.
            name: Rows that tell what is done; None leaves nothing out.
            key: Gives an item's key; None takes a text item itself, or the `key` of a dict.
            total: Number of items, where `len(items)` does not tell.
        """
        with progress(label, length(items) if total is None else total) as advance:
            for item in items:
                if name is None or not self.done(name, (key or _key_of)(item)):
                    yield item
                advance()

    def _file(self, name: str) -> Rows:
        if name not in self._rows:
            self._rows[name] = Rows(self.path / f"{_checked(name)}.jsonl")
        return self._rows[name]

    # Metrics: numbers by step.

    def log(self, *, step: int, **numbers: float | None) -> None:
        """Add numbers of a step to metrics.jsonl. NaN and infinity are written as null, with a notice.

        Raises:
            DataError: The step already has another value of the same name; see `rewind`.
        """
        with self._writing():
            self._metrics.log(int(step), plain(numbers, f"step {step}", nonfinite=self._no_number))

    def metrics(self) -> list[dict[str, Any]]:
        """Give the lines of metrics.jsonl: `{"step": ..., name: number or None, ...}`."""
        with self._mutex:
            return list(self._metrics)

    def rewind(self, step: int) -> int:
        """Drop the metrics of `step` and later, and say how many lines that were.

        A training that continues from the checkpoint of step `s` repeats step `s + 1`: it calls `rewind(s + 1)` first.
        """
        with self._writing():
            return self._metrics.rewind(step)

    def _no_number(self, where: str, value: float) -> None:
        self._session.notice(f"metrics.jsonl: {where} is {value}, written as null.")

    # Stages and saved objects: work that is done as a whole.

    def stage_done(self, name: str) -> bool:
        """Say whether a stage was finished."""
        return name in self._stages

    def finish_stage(self, name: str, **facts: Any) -> None:
        """Remember that a stage is finished, after all its files were written.

        Args:
            name: The stage.
            facts: Its outcome, e.g. counts; no times, which are for `measured`.

        Raises:
            DataError: It was finished before with other facts, so the work is no function of its config and seeds.
        """
        with self._writing():
            record = plain(facts, f"stage {name!r}")
            if self._stages.get(name, record) != record:
                changes = "; ".join(configs.differences(self._stages[name], record))
                raise DataError(
                    f"Stage {name!r} was finished before with other facts ({changes}); ask stage_done first."
                )
            stages = self._stages | {name: record}
            self._write("stages.json", stages)
            self._stages = stages  # only now: what the disk refused is tried again

    def stages(self) -> dict[str, dict[str, Any]]:
        """Give the finished stages and their facts, in order."""
        return {name: dict(facts) for name, facts in self._stages.items()}

    def save_json(self, name: str, value: Any) -> None:
        """Write `<name>.json`, in the place of what was there.

        Raises:
            DataError: A value without a JSON form, NaN and infinity included.
        """
        with self._writing():
            self._write(f"{_checked(name)}.json", plain(value, name))

    def load_json(self, name: str) -> Any:
        """Read `<name>.json`; None when it was never saved."""
        return self._read(_checked(name))

    def measured(self, name: str, **facts: Any) -> None:
        """Keep times and the like in volatile.json: what may differ between equal runs, and so is not in the report."""
        with self._writing():
            self._session.measured(name, facts)

    def measurements(self) -> dict[str, Any]:
        """Give the facts that `measured` kept, by name, of all sessions."""
        with self._mutex:
            return self._session.measurements()

    # What the report shows.

    def table(self, name: str, rows: Sequence[Mapping[str, Any]], caption: str = "") -> None:
        """Show a table; the same name again replaces it. NaN and infinity stand as text."""
        with self._writing():
            record = {"name": name, "caption": caption, "rows": list(rows)}
            cells = plain(record, f"table {name!r}", nonfinite=lambda _, value: str(value))
            self._write(f"tables/{_checked(name)}.json", cells)
            self._list("tables", name)

    def figure(self, name: str, fig: Plot | reports.Figure, caption: str = "", alt: str = "") -> None:
        """Show a figure; the same name again replaces it.

        Args:
            name: Its file, below `figures/`.
            fig: A matplotlib figure, or one of `tenon.core.report`.
            caption: What stands below it; empty keeps the figure's own.
            alt: What it shows, for those who cannot see it.
        """
        drawn = fig if isinstance(fig, reports.Figure) else reports.figure_from_matplotlib(fig, name)
        with self._writing():
            for ending, content in (("svg", drawn.svg), ("png", drawn.png)):
                if content is not None:
                    write_atomic(self.path / "figures" / f"{_checked(name)}.{ending}", content)
            self._write(f"figures/{name}.json", {"caption": caption or drawn.caption, "alt": alt or drawn.alt})
            self._list("figures", name)

    def excerpts(self, name: str, items: Sequence[reports.Excerpt], caption: str = "") -> None:
        """Show texts with marked places; the same name again replaces them."""
        with self._writing():
            record = {"name": name, "caption": caption, "items": list(items)}
            self._write(f"excerpts/{_checked(name)}.json", plain(record, f"excerpts {name!r}"))
            self._list("excerpts", name)

    def note(self, text: str) -> None:
        """Show a sentence on the result: a limit, a count of what was left out. Once, however often it is said."""
        with self._writing():
            self._list("notes", text)

    def collect(self, title: str, summary: str = "", card: reports.Card | None = None) -> reports.Report:
        """Give tables, figures, notes and facts as one record: what a `demo(run)` returns."""
        with self._mutex:
            tables = [self._read(f"tables/{name}") for name in self._contents["tables"]]
            figures = [(name, self.path / "figures" / name) for name in self._contents["figures"]]
            excerpts = [self._read(f"excerpts/{name}") for name in self._contents.get("excerpts", [])]
            return reports.Report(
                title,
                summary,
                tables=tuple(reports.Table(one["name"], tuple(one["rows"]), one["caption"]) for one in tables),
                figures=tuple(
                    reports.Figure(name, _text(path, "svg"), _bytes(path, "png"), **self._read(f"figures/{name}"))
                    for name, path in figures
                ),
                excerpts=tuple(reports.Excerpts(one["name"], _items(one["items"]), one["caption"]) for one in excerpts),
                notes=tuple(self._contents["notes"]),
                facts=self._read("config"),
                card=card,
            )

    def report(self, title: str, summary: str = "", card: reports.Card | None = None) -> Path:
        """Write report.html, report.md and report.json, and give the path of the page."""
        with self._writing():
            report = self.collect(title, summary, card)
            about = {"machine": machine_facts(), "versions": versions()}
            write_atomic(self.path / "report.json", reports.to_json([report]))
            write_atomic(self.path / "report.md", reports.render_markdown([report], title=title))
            write_atomic(self.path / "report.html", reports.render_html([report], title=title, facts=about))
            return self.path / "report.html"

    def _list(self, kind: str, item: str) -> None:
        listed = self._contents.get(kind, [])
        if item not in listed:
            contents = self._contents | {kind: [*listed, item]}
            self._write("contents.json", contents)
            self._contents = contents  # only now: what the disk refused is tried again

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._mutex:
            if not self._is_open:
                raise RunConflict(f"The run in {self.path} is closed; write inside its `with` statement.")
            yield

    def _write(self, name: str, value: Any) -> None:
        write_atomic(self.path / name, json_bytes(value, indent=2))

    def _read(self, name: str) -> Any:
        path = self.path / f"{name}.json"
        return read_json(path) if path.exists() else None


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name) or name in _OURS:
        raise DataError(
            f"{name!r} cannot name a file of a run: use letters, digits, '_', '-' and '.', "
            f"and none of the run's own names ({', '.join(sorted(_OURS))})."
        )
    return name


def _key_of(item: Any) -> str:
    key = item.get("key") if isinstance(item, Mapping) else item
    if not isinstance(key, str):
        raise DataError(f"run.track cannot tell the key of {item!r}; pass key=, a function from item to text.")
    return key


def _items(records: Sequence[Mapping[str, Any]]) -> tuple[reports.Excerpt, ...]:
    return tuple(reports.Excerpt(one["heading"], tuple((text, mark) for text, mark in one["parts"])) for one in records)


def _text(path: Path, ending: str) -> str | None:
    data = _bytes(path, ending)
    return None if data is None else data.decode()


def _bytes(path: Path, ending: str) -> bytes | None:
    file = path.with_name(f"{path.name}.{ending}")
    return file.read_bytes() if file.exists() else None
