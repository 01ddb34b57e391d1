"""Asking language models, whichever they are: a server, a model in this process, or a script.

    answers = complete(run, requests, writer, name="edits")

`complete` keeps every answer the moment it arrives and writes rows in the order of the requests. A writer turns
requests into answers: `LocalWriter` (transformers), `ServerWriter` (OpenAI-compatible, vLLM among them), and
`ScriptedWriter` for tests.
"""

from tenon.core.chat.answers import complete
from tenon.core.chat.request import Completion, Failure, Request, Sampling, Usage, Writer, usage
from tenon.core.chat.scripted import ScriptedWriter

__all__ = [
    "Completion",
    "Failure",
    "Request",
    "Sampling",
    "ScriptedWriter",
    "Usage",
    "Writer",
    "complete",
    "usage",
]
