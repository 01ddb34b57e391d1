"""What a command finds in the folders of the stages before it, and where it may write."""

from __future__ import annotations

from pathlib import Path

from tenon.core.errors import ConfigError, DataError
from tenon.core.folder import is_run

__all__ = ["check_out", "model_in", "pairs_in", "stage_file"]


def stage_file(folder: Path, name: str, stage: str) -> Path:
    """Give a file of a stage.

    Raises:
        DataError: The folder has none, so it is not of this stage.
    """
    file = folder / f"{name}.jsonl"
    if not file.is_file():
        others = {"samples": "sample", "edits": "edit", "pairs": "pairs"}
        found = [other for rows, other in others.items() if other != stage and (folder / f"{rows}.jsonl").is_file()]
        what = "is no folder" if not folder.is_dir() else f"is one of `tenon rise {found[-1]}`" if found else ""
        raise DataError(
            f"{folder} is no folder of `tenon rise {stage}`: {file.name} is not in it{what and f'; it {what}'}. "
            f"Give the --out of `tenon rise {stage}`."
        )
    return file


def check_out(out: Path, *read: Path) -> None:
    """Refuse to write into a folder that is read, before that folder is said to be another run.

    Raises:
        ConfigError: `out` is one of those.
    """
    if out.resolve() in [one.resolve() for one in read]:
        raise ConfigError(f"--out {out} is a folder that this command reads; give what comes of it another --out.")


def pairs_in(path: Path) -> Path:
    """Give the file of pairs: this one, or that of a folder of `tenon rise pairs`."""
    return stage_file(path, "pairs", "pairs") if path.is_dir() else path


def model_in(name: str) -> str:
    """Give the model of a training's folder; any other name as it is."""
    folder = Path(name)
    return str(folder / "model") if is_run(folder) and (folder / "model").is_dir() else name
