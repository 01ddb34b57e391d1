"""From what a command line is told to the writer that it means."""

from __future__ import annotations

from collections.abc import Sequence

from tenon.core.chat.config import ServerConfig
from tenon.core.chat.request import Writer
from tenon.core.config import load
from tenon.core.errors import ConfigError

__all__ = ["writer_for"]


def writer_for(
    model: str,
    *,
    base_url: str | None = None,
    server: Sequence[str] = (),
    batch_size: int = 16,
    device: str = "auto",
    dtype: str = "auto",
) -> Writer:
    """Give a model of this machine, or with `base_url` one behind a server.

    Args:
        model: A name as in `load_model`, or the server's name for the model.
        base_url: The server's address.
        server: Texts `key=value` for further fields of `ServerConfig`.
        batch_size: Requests that a local model answers together.
        device: Of a local model.
        dtype: Of a local model.

    Raises:
        ConfigError: `server` has no such field, or there is no `base_url` that it belongs to.
    """
    if base_url is not None:
        from tenon.core.chat.server import ServerWriter

        start = {"server": ServerConfig(base_url=base_url, model=model)}
        return ServerWriter(load(ServerConfig, presets=start, preset="server", sets=server))
    if server:
        raise ConfigError("--server says how a server is asked, and no --base-url names one; give it, too.")
    from tenon.core.chat.local import LocalWriter

    return LocalWriter(model, batch_size=batch_size, device=device, dtype=dtype)
