"""From what a command line is told to the writer that it means."""

from __future__ import annotations

from typing import Any

from tenon.core.chat.config import ServerConfig
from tenon.core.chat.request import Writer

__all__ = ["writer_for"]


def writer_for(
    model: str,
    *,
    base_url: str | None = None,
    batch_size: int = 16,
    device: str = "auto",
    dtype: str = "auto",
    **server: Any,
) -> Writer:
    """Give a model of this machine, or with `base_url` one behind a server.

    Args:
        model: A name as in `load_model`, or the server's name for the model.
        base_url: The server's address.
        batch_size: Requests that a local model answers together.
        device: Of a local model.
        dtype: Of a local model.
        server: Further fields of `ServerConfig`.
    """
    if base_url is not None:
        from tenon.core.chat.server import ServerWriter

        return ServerWriter(ServerConfig(base_url=base_url, model=model, **server))
    from tenon.core.chat.local import LocalWriter

    return LocalWriter(model, batch_size=batch_size, device=device, dtype=dtype)
