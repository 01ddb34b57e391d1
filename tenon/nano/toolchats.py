"""Generated conversations with two simple tools, so that nano-lm has seen the form of a tool call.

The calculator is called with one sum, `look_up` with one name; the tool's answer is true, and the reply repeats it. The
conversations teach the form only: which tool, which argument, where the result goes.
"""

from __future__ import annotations

import operator
import random
from typing import Any

from tenon.core.seeds import derive

__all__ = ["TOOLS", "tool_chat"]

TOOLS: list[dict[str, Any]] = [
    {
        "type": "function",
        "function": {
            "name": "calculator",
            "description": "Work out one sum.",
            "parameters": {
                "type": "object",
                "properties": {"expression": {"type": "string", "description": "for example 3 * 14"}},
                "required": ["expression"],
            },
        },
    },
    {
        "type": "function",
        "function": {
            "name": "look_up",
            "description": "Look up one entry of the register.",
            "parameters": {
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "field": {"type": "string", "enum": ["age", "town", "phone"]},
                },
                "required": ["name", "field"],
            },
        },
    },
]

OPERATIONS = {"+": operator.add, "-": operator.sub, "*": operator.mul}
WORDS = {
    "+": ("plus", "{a} and {b} added"),
    "-": ("minus", "{b} taken from {a}"),
    "*": ("times", "the product of {a} and {b}"),
}
NAMES = (
    "Ada",
    "Boris",
    "Clara",
    "David",
    "Emil",
    "Flora",
    "Greta",
    "Hugo",
    "Ines",
    "Jonas",
    "Karin",
    "Leo",
    "Mira",
    "Nils",
    "Olga",
)
TOWNS = ("Dover", "Bergen", "Lyon", "Siena", "Porto", "Ghent", "Turku", "Basel", "Split", "Cork")
SUMS = ("What is {sum}?", "How much is {sum}?", "Please work out {sum}.", "I need {sum}.", "Can you tell me {sum}?")
LOOKS = (
    "What is the {field} of {name}?",
    "Please look up {name}'s {field}.",
    "Tell me {name}'s {field}.",
    "I need the {field} of {name}.",
)


def tool_chat(seed: int, index: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Give conversation number `index`: its messages (one to three questions), and the tools it may call."""
    rng = random.Random(derive(seed, "toolchat", index))
    tools = rng.sample(TOOLS, k=rng.choice((1, 2, 2)))
    messages: list[dict[str, Any]] = []
    for _ in range(rng.randint(1, 3)):
        name = rng.choice(tools)["function"]["name"]
        messages += _calculation(rng) if name == "calculator" else _look_up(rng)
    return messages, tools


def _turns(question: str, name: str, arguments: dict[str, str], result: str, reply: str) -> list[dict[str, Any]]:
    call = {"type": "function", "function": {"name": name, "arguments": arguments}}
    return [
        {"role": "user", "content": question},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": result},
        {"role": "assistant", "content": reply},
    ]


def _calculation(rng: random.Random) -> list[dict[str, Any]]:
    sign = rng.choice("+-*")
    top = 20 if sign == "*" else 400
    a, b = sorted((rng.randint(2, top), rng.randint(2, top)), reverse=True)
    word, phrase = WORDS[sign]
    spoken = rng.choice((f"{a} {sign} {b}", f"{a} {word} {b}", phrase.format(a=a, b=b)))
    result = str(OPERATIONS[sign](a, b))
    expression = f"{a} {sign} {b}"
    question = rng.choice(SUMS).format(sum=spoken)
    return _turns(question, "calculator", {"expression": expression}, result, f"{expression} is {result}.")


def _look_up(rng: random.Random) -> list[dict[str, Any]]:
    name, field = rng.choice(NAMES), rng.choice(("age", "town", "phone"))
    result = {"age": str(rng.randint(18, 90)), "town": rng.choice(TOWNS), "phone": str(rng.randint(10_000, 99_999))}[
        field
    ]
    question = rng.choice(LOOKS).format(field=field, name=name)
    return _turns(question, "look_up", {"name": name, "field": field}, result, f"The {field} of {name} is {result}.")
