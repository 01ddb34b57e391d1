"""Equation 1 of the paper as a pure function: which keys every query may see.

Shape letters: B rows, Q queries, K keys, S tokens.
"""

# No `from __future__ import annotations`: tests execute the shapes.

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor

__all__ = ["Whole", "ranks", "sep_mask", "spaced", "visible", "within"]


def sep_mask(
    is_sep: Bool[Tensor, "batch seq"],
    *,
    init: int,
    window: int | None,
    is_real: Bool[Tensor, "batch seq"] | None = None,
    document: Int[Tensor, "batch seq"] | None = None,
) -> Bool[Tensor, "batch seq seq"]:
    """Say which keys every query may see. Implements eq. (1) of arXiv 2412.12094.

    Paper vs. code: both count the query inside `window`. Under left padding the released code finds pads by their id;
    here `is_real` says where they are, and initial tokens, separators and neighbours are counted among real tokens
    only.

    Args:
        is_sep: True where the token ends a segment.
        init: First real tokens of a row that everyone sees (`a`) [tokens].
        window: Nearest tokens, the query included (`n`) [tokens]; 1 or more, None for all.
        is_real: False on padding; None where there is none.
        document: Number of each token's document, growing along the row, where several are packed into one row: then
            a token sees its own document alone, and each has its initial tokens. None is one document, as in the
            released code, whose attention crosses borders.

    Returns:
        `mask[b, i, j]`: may query `i` of row `b` attend to key `j`? Never True above the diagonal. A pad sees itself
        alone, so that no row is empty.

    Raises:
        ValueError: `window` is smaller than 1.

    >>> sep_mask(torch.tensor([[False, True, False, False]]), init=1, window=1)[0, 3].tolist()
    [True, True, False, True]
    """
    if window is not None and window < 1:
        raise ValueError(f"window is {window}; it must be 1 or more: it counts the query itself.")
    position_BS = ranks(torch.ones_like(is_sep) if is_real is None else is_real)
    if document is None:
        return visible(position_BS, position_BS, is_sep, init=init, window=window)
    is_first_BS = (within(document, position_BS) < init) & (position_BS >= 0)
    mask_BSS = visible(position_BS, position_BS, is_sep | is_first_BS, init=0, window=window)
    return mask_BSS & (document[:, :, None] == document[:, None, :])


def visible(
    query_position: Int[Tensor, "batch queries"],
    key_position: Int[Tensor, "batch keys"],
    key_is_sep: Bool[Tensor, "batch keys"],
    *,
    init: int,
    window: int | None,
) -> Bool[Tensor, "batch queries keys"]:
    """Say which keys a query may see where keys are stored in any order, some of them gone.

    Args:
        query_position: Index of each query among the real tokens of its row; -1 for a pad.
        key_position: The same for keys; -1 for a pad or an empty slot. The last keys are the queries' own.
        key_is_sep: True where a key is a separator.
        init: As in `sep_mask`.
        window: As in `sep_mask`.
    """
    query_BQ1, key_B1K = query_position[:, :, None], key_position[:, None, :]
    mask_BQK = (key_B1K <= query_BQ1) & (key_B1K >= 0)
    if window is not None:
        kept_B1K = (key_is_sep | (key_position < init))[:, None, :]
        mask_BQK &= kept_B1K | (query_BQ1 - key_B1K < window)
    queries, keys = query_position.shape[1], key_position.shape[1]
    # A pad would see nothing, and the softmax of nothing is NaN: let it see itself; nobody reads its output.
    own_QK = (
        torch.ones(queries, keys, dtype=torch.bool, device=mask_BQK.device).triu(keys - queries).tril(keys - queries)
    )
    return mask_BQK | (own_QK & (query_BQ1 < 0))


def ranks(is_real: Bool[Tensor, "batch seq"]) -> Int[Tensor, "batch seq"]:
    """Number the real tokens of each row from 0; pads get -1.

    >>> ranks(torch.tensor([[False, True, True]])).tolist()
    [[-1, 0, 1]]
    """
    return torch.where(is_real, is_real.cumsum(1) - 1, -1)


def spaced(position: Int[Tensor, "batch seq"], *, init: int, interval: int) -> Bool[Tensor, "batch seq"]:
    """Mark every `interval`-th token after the first `init`: the fixed-interval control (FixLLM, table 17).

    Its phase is not published; here the first marked token is the last of its interval.

    Args:
        position: Index among the real tokens of the row; -1 for a pad, which is never marked.
        init: First tokens, which are kept anyway [tokens].
        interval: Distance of two marked tokens [tokens].

    >>> spaced(torch.arange(8)[None], init=2, interval=3).int().tolist()
    [[0, 0, 0, 0, 1, 0, 0, 1]]
    """
    return (position >= init) & ((position - init) % interval == interval - 1)


@dataclass(frozen=True)
class Whole:
    """Eq. (1) over a text of which nothing was stored before: what a kernel needs to do without a mask of all pairs."""

    is_sep: Bool[Tensor, "batch seq"]
    """True where the token ends a segment."""
    is_real: Bool[Tensor, "batch seq"] | None
    """False on padding, which stands at the ends of a row; None where there is none."""
    init: int
    """First tokens of a row, or of a document, that everyone sees [tokens]."""
    window: int
    """Nearest tokens seen, the query included [tokens]."""
    document: Int[Tensor, "batch seq"] | None = None
    """Number of each token's document, growing along the row, where a token sees its own document alone."""

    @property
    def real(self) -> Bool[Tensor, "batch seq"]:
        """Where the row holds a token."""
        return torch.ones_like(self.is_sep) if self.is_real is None else self.is_real

    @property
    def kept(self) -> Bool[Tensor, "batch seq"]:
        """Tokens that are seen from afar: initial ones and separators."""
        position = ranks(self.real)
        if self.document is not None:
            position = within(self.document, position)
        return self.real & (self.is_sep | (position < self.init))


def within(document: Int[Tensor, "batch seq"], position: Int[Tensor, "batch seq"]) -> Int[Tensor, "batch seq"]:
    """Number the tokens of each document from 0; pads keep their -1.

    >>> within(torch.tensor([[0, 0, 1, 1, 1]]), torch.arange(5)[None]).tolist()
    [[0, 1, 0, 1, 2]]
    """
    is_first = torch.nn.functional.pad(document[:, 1:] != document[:, :-1], (1, 0), value=True)
    start = torch.where(is_first & (position >= 0), position, 0).cummax(1).values
    return torch.where(position >= 0, position - start, -1)
