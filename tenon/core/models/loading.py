"""From a name to a model: a hub id, a local folder, or a nano model that travels with the package.

    nano-lm                       a folder of `tenon/nano`, found by its path
    ./out, /data/llama            a local folder with config.json and safetensors
    org/model                     anything else is asked of the Hugging Face Hub (or its cache)

Only safetensors are read, and code that comes with a checkpoint runs only if the caller says so.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, cast

from tenon.core.errors import BackendError, ConfigError, DataError, UnsupportedModelError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch
    from torch import nn
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

__all__ = ["is_nano", "load_config", "load_model", "load_tokenizer", "nano_names", "weights_hash"]

NANO_FOLDER = Path(__file__).parents[2] / "nano"

_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")


def load_model(
    name: str | Path,
    *,
    dtype: str | torch.dtype = "auto",
    device: str | torch.device = "auto",
    attn_implementation: str | None = None,
    trust_remote_code: bool = False,
    architecture: Any = None,
) -> PreTrainedModel:
    """Load a causal language model, or another with the same care, in eval mode.

    Args:
        name: A nano name, a local folder or a hub id. A nano name wins over a folder of that name (write `./nano-lm`).
        dtype: A name such as "bfloat16", or "auto": the checkpoint's own on a GPU, and float32 on a CPU, where half
            precision is slow or missing.
        device: A device, or "auto" (CUDA where there is one, else the CPU; Apple's "mps" only when asked for), or
            "balanced" (the layers spread over all GPUs).
        attn_implementation: As in transformers; None leaves its choice.
        trust_remote_code: Whether Python code that comes with the checkpoint may run.
        architecture: The class that loads it, where it is no causal language model.

    Raises:
        DataError: There is no such model, it holds no safetensors, or weights are missing from it.
        ConfigError: `dtype` is no torch dtype, or `device` no torch device.
        UnsupportedModelError: It is no causal language model.
        BackendError: The device asked for is not there.
    """
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    on_cpu = _device_type(str(device)) == "cpu"
    options: dict[str, Any] = {"trust_remote_code": trust_remote_code, "use_safetensors": True}
    options["dtype"] = ("float32" if on_cpu else "auto") if dtype == "auto" else _dtype(dtype)
    if not on_cpu:  # straight to the GPU, without a copy in main memory
        options["device_map"] = "balanced" if device == "balanced" else {"": device}
    if attn_implementation is not None:
        options["attn_implementation"] = attn_implementation

    load_config(name, trust_remote_code=trust_remote_code)
    place = _locate(name)
    try:
        loader = architecture or AutoModelForCausalLM
        loaded: Any = loader.from_pretrained(place, output_loading_info=True, **options)
    except ValueError as error:  # a known architecture, and no causal language model: T5, CLIP, Whisper
        raise UnsupportedModelError(
            f"{str(name)!r} is no causal language model ({_first_line(error)}); give one, such as a Llama or a Qwen."
        ) from error
    except (OSError, SafetensorError) as error:
        raise DataError(
            f"The weights of {str(name)!r} cannot be read: {_first_line(error)} "
            "Only safetensors are; convert others with save_pretrained."
        ) from error
    model, info = loaded
    if missing := sorted(info["missing_keys"]):  # transformers would leave them random
        raise DataError(
            f"{len(missing)} weights of {type(model).__name__} are missing from {str(name)!r}, {missing[0]!r} first; "
            "is it the checkpoint of another architecture, or an incomplete download?"
        )
    return cast("PreTrainedModel", model.eval())


def load_config(name: str | Path, *, trust_remote_code: bool = False) -> PreTrainedConfig:
    """Load the config of a model alone, without its weights; names are those of `load_model`.

    Raises:
        DataError: There is no such model.
    """
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(_locate(name), trust_remote_code=trust_remote_code)
    except (OSError, ValueError) as error:
        _refuse(name, error)


def load_tokenizer(name: str | Path, *, trust_remote_code: bool = False) -> PreTrainedTokenizerBase:
    """Load the tokenizer that belongs to a model; names are those of `load_model`.

    Raises:
        DataError: There is no such tokenizer.
    """
    from transformers import AutoTokenizer

    place = _locate(name)
    if isinstance(place, Path) and place.is_dir() and not any(place.glob("*token*")):
        raise DataError(
            f"{str(name)!r} has no tokenizer: its folder holds {_listing(place)}. Save one beside the model."
        )
    try:
        return AutoTokenizer.from_pretrained(place, trust_remote_code=trust_remote_code)
    except (OSError, ValueError) as error:
        _refuse(name, error)


def nano_names() -> list[str]:
    """List the models that travel with the package, sorted; one of a family has the family's name before it."""
    files = [*NANO_FOLDER.glob("nano-*/model.safetensors"), *NANO_FOLDER.glob("nano-*/*/model.safetensors")]
    return sorted(file.parent.relative_to(NANO_FOLDER).as_posix() for file in files)


def is_nano(name: str | Path) -> bool:
    """Say whether a name, or the path of a folder, is that of a nano model: reports write "nano" beside its figures."""
    folder = NANO_FOLDER / name if str(name) in nano_names() else Path(name).resolve()
    return folder in [NANO_FOLDER / known for known in nano_names()]


def weights_hash(source: str | Path | nn.Module) -> str:
    """Give the SHA-256 (hex) of all weights: their names, dtypes, shapes and bytes, in the order of the names.

    How the file is cut into shards does not matter, and tied weights count once, so a model and the folder it was saved
    to have one hash. Loading in another dtype changes the bytes and thus the hash: for one identity on every device,
    hash the name.

    Args:
        source: A live model, or a name as in `load_model`, or one safetensors file.

    Raises:
        DataError: There are no safetensors there.
    """
    import torch

    digest = hashlib.sha256()
    tensors = _stored_tensors(source) if isinstance(source, str | Path) else _live_tensors(source)
    for key, tensor in tensors:
        digest.update(json.dumps([key, str(tensor.dtype), list(tensor.shape)]).encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _live_tensors(model: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    first_names: dict[tuple[int, torch.Size], str] = {}
    state = model.state_dict()
    for key, tensor in state.items():  # in module order, in which the embedding comes before a tied head
        first_names.setdefault((tensor.data_ptr(), tensor.shape), key)
    return ((key, state[key]) for key in sorted(first_names.values()))


def _stored_tensors(source: str | Path) -> Iterator[tuple[str, torch.Tensor]]:
    from safetensors import safe_open

    owner: dict[str, Path] = {}
    for file in _weight_files(source):
        with safe_open(file, framework="pt") as shard:
            owner |= dict.fromkeys(shard.keys(), file)
    for key in sorted(owner):
        with safe_open(owner[key], framework="pt") as shard:  # memory-mapped: opening reads the header only
            yield key, shard.get_tensor(key)


def _weight_files(source: str | Path) -> list[Path]:
    place = _locate(source)
    if isinstance(place, str):
        from huggingface_hub import snapshot_download

        try:
            place = Path(
                snapshot_download(place, allow_patterns=["model*.safetensors", "model.safetensors.index.json"])
            )
        except (OSError, ValueError) as error:
            _refuse(source, error)
    if place.is_file():
        return [place]
    index = place / "model.safetensors.index.json"
    if index.is_file():
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    else:
        names = sorted(file.name for file in place.glob("*.safetensors"))
    if not names:
        raise DataError(
            f"{place} holds no safetensors (it holds: {_listing(place)}); save the model with save_pretrained."
        )
    return [place / name for name in names]


def _locate(name: str | Path) -> Path | str:
    """Turn a name into an existing path, or leave it as a hub id."""
    if str(name) in nano_names():
        return NANO_FOLDER / name
    path = Path(name).expanduser()
    if path.exists():
        return path
    # "nano-" is ours: a misspelt nano name must not load a stranger's checkpoint.
    is_local = len(path.parts) > 1 and path.parent.is_dir()  # a misspelt folder is not asked of the hub
    if isinstance(name, Path) or is_local or not _HUB_ID.fullmatch(name) or name.startswith(("nano-", ".", "~")):
        _refuse(name, None)
    return name


def _refuse(name: str | Path, error: Exception | None) -> NoReturn:
    path = Path(name).expanduser()
    found = f"{path} holds: {_listing(path)}" if path.is_dir() else f"there is no {path.absolute()}"
    tried = f"the models of this package ({', '.join(nano_names()) or 'none'}), a local folder ({found})"
    if error is not None:
        tried += f", and transformers, which says: {_first_line(error).removeprefix('Got: ').removesuffix('.')}"
    raise DataError(
        f"{str(name)!r} cannot be loaded. Tried: {tried}. "
        "Give one of these names, a folder with config.json and safetensors, or a hub id such as 'org/model'."
    ) from error


def _listing(folder: Path) -> str:
    names = sorted(entry.name for entry in folder.iterdir())
    return (", ".join(names[:6]) + (", ..." if len(names) > 6 else "")) or "nothing"


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0].rstrip(".") + "."


def _dtype(dtype: str | torch.dtype) -> torch.dtype:
    import torch

    found = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if not isinstance(found, torch.dtype):
        raise ConfigError(f"dtype is {dtype!r}; it must be 'auto' or a torch dtype such as 'float32' or 'bfloat16'.")
    return found


def _device_type(device: str) -> str:
    import torch

    try:
        kind = "cuda" if device == "balanced" else torch.device(device).type
    except RuntimeError as error:
        raise ConfigError(
            f"device is {device!r}; it must be 'auto', 'cpu', 'cuda', 'cuda:1', 'balanced', ..."
        ) from error
    missing = {"cuda": not torch.cuda.is_available(), "mps": not torch.backends.mps.is_available()}
    if missing.get(kind):
        raise BackendError(f"device is {device!r}, but torch {torch.__version__} sees no {kind} here; give 'cpu'.")
    return kind
