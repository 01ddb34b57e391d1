"""Asking language models, whichever they are: a server, a model in this process, or a script.

    answers = complete(run, requests, writer, name="edits")

`complete` keeps every answer the moment it arrives and writes rows in the order of the requests. A writer turns
requests into answers: `LocalWriter` (transformers), `ServerWriter` (OpenAI-compatible, vLLM among them), and
`ScriptedWriter` for tests.
"""

from tenon.core.chat.answers import complete
from tenon.core.chat.config import ServerConfig
from tenon.core.chat.request import Completion, Failure, Request, Sampling, Usage, Writer, usage
from tenon.core.chat.scripted import ScriptedWriter
from tenon.core.chat.writers import writer_for

__all__ = [
    "Completion",
    "Failure",
    "Request",
    "Sampling",
    "ScriptedWriter",
    "ServerConfig",
    "Usage",
    "Writer",
    "complete",
    "usage",
    "writer_for",
]
