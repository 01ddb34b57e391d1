"""kvpress, in its own environment: answers the requests of `bench/sepllm_kvpress.py`. Imports nothing of Tenon's."""

from __future__ import annotations

import json
import os
import platform
import sys
import traceback
from contextlib import ExitStack
from importlib.metadata import version
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"  # read once, at import
ANSWERS = os.fdopen(os.dup(1), "w")  # stdout is for answers alone; whatever libraries print goes to stderr
os.dup2(2, 1)

# Below, since they print and look at the hub while they are imported: E402 is silenced for that.
import numpy as np  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402
from decoding import Decoder, filled, nll  # noqa: E402
from kvpress import DecodingPress, KeyRerotationPress, PrefillDecodingPress, StreamingLLMPress  # noqa: E402
from transformers import AutoModelForCausalLM, DynamicCache  # noqa: E402

transformers.utils.logging.disable_progress_bar()


class Rerotated(StreamingLLMPress):
    """StreamingLLMPress under KeyRerotationPress, as one ScorerPress.

    `DecodingPress(KeyRerotationPress(...))` is refused: its base must be a ScorerPress. So the two are joined here.
    """

    def compress(self, *args: Any) -> Any:
        return KeyRerotationPress(self).compress(*args)


def streaming(init: int, *, rerotates: bool, prompt: int = 0, keep: int = 0) -> StreamingLLMPress:
    """Make a press that leaves `keep` of `prompt` tokens; without them, one whose ratio DecodingPress sets."""
    kind = Rerotated if rerotates else StreamingLLMPress
    # kvpress keeps int(prompt * (1 - ratio)); half a token more, so that rounding cannot make it one less.
    return kind(n_sink=init, compression_ratio=1 - (keep + 0.5) / prompt if prompt else 0.0)


def decoding(init: int, target: int, interval: int, *, rerotates: bool) -> DecodingPress:
    """Make a press for decoding. StreamingLLM looks at no hidden states, so none are kept."""
    base = streaming(init, rerotates=rerotates)
    return DecodingPress(base, compression_interval=interval, target_size=target, hidden_states_buffer_size=0)


class Worker:
    """What can be asked, one method each."""

    def __init__(self) -> None:
        self.decoders: dict[str, Decoder] = {}
        self.stack = ExitStack()

    def start(self, model: str, threads: int) -> dict[str, str]:
        """Take the model's folder, and say what this environment is."""
        torch.set_num_threads(threads)
        self.folder = model
        self.model = self.load()
        return {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "kvpress": version("kvpress"),
        }

    def load(self) -> Any:
        return AutoModelForCausalLM.from_pretrained(self.folder, dtype=torch.float32).eval()

    @torch.inference_mode()
    def logits(self, ids: str, out: str) -> None:
        """Write the logits of one text."""
        np.save(out, self.model(torch.from_numpy(np.load(ids))[None]).logits[0].numpy())

    def prepare(self, ids: str, seen: int, init: int, presses: dict[str, Any], steps: int) -> dict[str, int]:
        """Make ready to decode after `seen` tokens, and give the memory of each cache [bytes].

        Every press begins with the whole text in its cache, and compresses it by its own rule.
        """
        self.stack.close()
        tokens = torch.from_numpy(np.load(ids))
        config = self.model.config
        full = filled(DynamicCache(config=config), config, seen)
        self.decoders = {
            "DynamicCache": Decoder(self.load(), full, "past_key_values", tokens, steps=steps, cut_back=seen)
        }
        for name, options in presses.items():
            model, cache = self.load(), filled(DynamicCache(config=config), config, seen)
            press = decoding(init, options["target"], options["interval"], rerotates=options["rerotates"])
            self.stack.enter_context(press(model))
            start = None if options["rerotates"] else seen  # re-rotated keys: positions are those in the cache
            self.decoders[name] = Decoder(model, cache, "past_key_values", tokens, steps=options["steps"], start=start)
            for _ in range(options["interval"]):
                self.decoders[name].step()
        return {name: decoder.peak() for name, decoder in self.decoders.items()}

    def round(self) -> dict[str, float]:
        """Take a turn: the time per token of each [s]."""
        return {name: decoder.turn() for name, decoder in self.decoders.items()}

    @torch.inference_mode()
    def after_prompt(self, ids: str, prompt: int, keep: int, init: int) -> dict[str, list[list[float]]]:
        """Give the NLL of all tokens after the prompt [nats], by press, the prompt being compressed to `keep`."""
        found: dict[str, list[list[float]]] = {}
        for text in torch.from_numpy(np.load(ids)):
            for name, rerotates in (("full", None), ("text", False), ("cache", True)):
                cache = DynamicCache(config=self.model.config)
                with ExitStack() as stack:
                    if rerotates is not None:
                        press = streaming(init, rerotates=rerotates, prompt=prompt, keep=keep)
                        stack.enter_context(press(self.model))
                    first = self.model(text[None, :prompt], past_key_values=cache, use_cache=True).logits[0, -1:]
                stored = cache.get_seq_length()
                assert stored == (prompt if rerotates is None else keep), f"{stored} tokens are stored"
                positions = torch.arange(prompt, len(text) - 1)[None] - (prompt - keep if rerotates else 0)
                rest = self.model(
                    text[None, prompt:-1], past_key_values=cache, use_cache=True, position_ids=positions
                ).logits[0]
                found.setdefault(name, []).append(nll(torch.cat([first, rest]), text[prompt:]).tolist())
        return found

    @torch.inference_mode()
    def while_decoding(self, ids: str, prompt: int, init: int, presses: dict[str, Any]) -> dict[str, list[list[float]]]:
        """Give the NLL of all tokens after the prompt [nats], by press, the cache being bounded all the time."""
        found: dict[str, list[list[float]]] = {}
        for text in torch.from_numpy(np.load(ids)):
            for name, options in presses.items():
                target, rerotates = options["target"], options["rerotates"]
                press = PrefillDecodingPress(
                    streaming(init, rerotates=rerotates, prompt=prompt, keep=target),
                    decoding(init, target, options["interval"], rerotates=rerotates),
                )
                cache, logits = DynamicCache(config=self.model.config), []
                with press(self.model):
                    parts = [text[None, :prompt], *text[None, prompt:-1].split(1, 1)]
                    for done, part in enumerate(parts):
                        at = {} if rerotates or done == 0 else {"position_ids": torch.tensor([[prompt + done - 1]])}
                        output = self.model(part, past_key_values=cache, use_cache=True, **at)
                        logits.append(output.logits[0, -1:])
                found.setdefault(name, []).append(nll(torch.cat(logits), text[prompt:]).tolist())
        return found

    @torch.inference_mode()
    def firsts_kept(self, tokens: int, steps: int, init: int, presses: dict[str, Any]) -> dict[str, float]:
        """Give the share of the first `init` tokens that are still stored, over layers and heads, after `steps` tokens.

        StreamingLLM keeps them for ever. Each value carries its number in the text, far above what a model makes.
        """
        found = {}
        for name, options in presses.items():
            cache = filled(DynamicCache(config=self.model.config), self.model.config, tokens)
            for layer in cache.layers:
                layer.values[..., 0] = 1e4 + torch.arange(tokens)
            press = decoding(init, options["target"], options["interval"], rerotates=options["rerotates"])
            with press(self.model):
                decoder = Decoder(self.model, cache, "past_key_values", torch.arange(100, 200), steps=steps)
                for _ in range(steps):
                    decoder.step()
            stored = torch.stack([layer.values[0, :, :, 0] for layer in cache.layers])
            is_there = (stored[..., None] == 1e4 + torch.arange(init)).any(-2)
            found[name] = is_there.float().mean().item()
        return found


def main() -> None:
    worker = Worker()
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = {"answer": getattr(worker, request.pop("do"))(**request)}
        except Exception:  # whatever it was, the parent is told and stops with it; a dead worker would leave it waiting
            answer = {"error": traceback.format_exc()}
        print(json.dumps(answer), file=ANSWERS, flush=True)


if __name__ == "__main__":
    main()
