"""Asking language models, whichever they are: a server, a model in this process, or a script.

    answers = complete(run, requests, writer, name="edits")

`complete` keeps every answer the moment it arrives and writes rows in the order of the requests. A writer turns
requests into answers: `LocalWriter` (transformers), `ServerWriter` (OpenAI-compatible, vLLM among them), and
`ScriptedWriter` for tests.

A conversation of several turns is one `complete` per turn, each with a name of its own; the answer to a turn, the calls
in it included, becomes a message of the next:

    >>> import tempfile
    >>> from dataclasses import replace
    >>> from tenon.core.run import Run
    >>> call = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": {"a": 2, "b": 3}}}
    >>> calling = Completion(text="", finish_reason="tool_calls", writer="scripted: sums", tool_calls=(call,))
    >>> writer = ScriptedWriter(lambda request: f"It is {request.messages[-1]['content']}." if request.key == "answer 0"
    ...                         else calling, "sums")
    >>> tools = ({"type": "function", "function": {"name": "add", "parameters": {}}},)
    >>> asked = Request(key="call 0", messages=({"role": "user", "content": "2 + 3?"},), tools=tools)
    >>> with Run.open(tempfile.mkdtemp(), config={}) as run:
    ...     (turn,) = complete(run, [asked], writer, name="calls")
    ...     results = [
    ...         {"role": "tool", "tool_call_id": one["id"], "content": str(sum(one["function"]["arguments"].values()))}
    ...         for one in turn.tool_calls
    ...     ]
    ...     told = replace(asked, key="answer 0", messages=(*asked.messages, turn.message(), *results))
    ...     complete(run, [told], writer, name="answers")[0].text
    'It is 5.'
"""

from typing import TYPE_CHECKING

from tenon.core.chat.answers import complete
from tenon.core.chat.config import ServerConfig
from tenon.core.chat.request import Completion, Failure, Request, Sampling, Usage, Writer, usage
from tenon.core.chat.scripted import ScriptedWriter
from tenon.core.chat.writers import writer_for
from tenon.core.front import on_demand

if TYPE_CHECKING:
    from tenon.core.chat.local import LocalWriter
    from tenon.core.chat.server import ServerWriter

__all__ = [
    "Completion",
    "Failure",
    "LocalWriter",
    "Request",
    "Sampling",
    "ScriptedWriter",
    "ServerConfig",
    "ServerWriter",
    "Usage",
    "Writer",
    "complete",
    "usage",
    "writer_for",
]

__getattr__ = on_demand(__name__, {"LocalWriter": "local", "ServerWriter": "server"})
