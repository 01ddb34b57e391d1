"""Which server answers, and how it is asked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

from tenon.core.errors import ConfigError, require

__all__ = ["ServerConfig"]


def _how(default: Any) -> Any:
    """A field that changes no answer."""
    return field(default=default, metadata={"identity": False})


@dataclass(frozen=True, kw_only=True)
class ServerConfig:
    """An OpenAI-compatible server: vLLM, `transformers serve`, a hosted one.

    `transformers serve` has two ways of its own. It draws tokens, whatever the temperature, only if the checkpoint says
    so, or with `extra = {"generation_config": '{"do_sample": true}'}`. And it takes a prefill only as `text`.
    """

    base_url: str = field(metadata={"identity": False})
    """Address of the server, such as http://localhost:8000/v1."""
    model: str
    """The server's name for the model."""
    api_key_env: str = _how("OPENAI_API_KEY")
    """Environment variable that holds the key; a server of one's own needs none."""
    concurrency: int = _how(8)
    """Requests that are under way at once."""
    requests_per_minute: float | None = _how(None)
    """No more than so many are sent in a minute."""
    timeout_s: float = _how(600.0)
    """Longest silence of the server [seconds]."""
    retries: int = _how(6)
    """How often a request is tried again that met a fault which may pass."""
    backoff_s: float = _how(1.0)
    """Wait before the first retry [seconds]; it doubles with every further one."""
    outage_after: int = _how(20)
    """So many requests given up one after another, and the server counts as gone."""
    prefill: Literal["continue", "text"] = "continue"
    """How a prefill is sent: as a message to be continued (vLLM), or as text to /completions, with `tokenizer`."""
    tokenizer: str | None = None
    """For `text`: name of the model whose chat template writes the prompt."""
    schema_format: Literal["json_schema", "json_object", "none"] = "json_schema"
    """How the server is told a schema; answers are checked in any case."""
    extra: dict[str, Any] = field(default_factory=dict)
    """Further fields of every request; null takes one of ours out."""
    price_prompt: float | None = _how(None)
    """Price of a million tokens read."""
    price_completion: float | None = _how(None)
    """Price of a million tokens written."""

    def __post_init__(self) -> None:
        parts = urlsplit(self.base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:  # not shown: it may hold a password
            raise ConfigError("ServerConfig.base_url is no address; it must be one such as http://localhost:8000/v1.")
        rate = self.requests_per_minute
        require(self.concurrency >= 1, self, "concurrency", "1 or more")
        require(rate is None or rate > 0, self, "requests_per_minute", "above 0")
        require(self.timeout_s > 0, self, "timeout_s", "above 0")
        require(self.retries >= 0, self, "retries", "0 or more")
        require(self.backoff_s >= 0, self, "backoff_s", "0 or more")
        require(self.outage_after >= 1, self, "outage_after", "1 or more")
        by_name = "the name of a model with prefill = text: its chat template writes the prompt"
        require(self.prefill == "continue" or bool(self.tokenizer), self, "tokenizer", by_name)
        both = (self.price_prompt is None) == (self.price_completion is None)
        require(both, self, "price_completion", "given together with price_prompt")
