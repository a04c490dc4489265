"""One well-known model: what its publisher's configuration says, and where that was read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from vramctl.shapes.layout import Config, ConfigValue, Layout


@dataclass(frozen=True, slots=True)
class Shape:
    """A model without its weights.

    `layout` makes the tensor table from `config` (keys and values of the publisher's config.json; long context
    factor lists are left out).  `family` is dense, moe, swa, mla, hybrid, recurrent or embedding.  `source` names the
    repository whose config.json it is.  `tokenizer` is the kind of invented vocabulary: bpe, spm or wpm; `pre` its
    pre-tokeniser.  `native` are tensor types that the released weights have (name after `blk.N.` -> type).
    `parameters` is the count of weights that the publisher's files state, 0 where only rounded figures were found.
    """

    name: str
    title: str
    family: str
    source: str
    layout: Callable[[Config], Layout]
    config: Mapping[str, ConfigValue]
    tokenizer: str = "bpe"
    pre: str = "default"
    parameters: int = 0
    native: Mapping[str, str] = field(default_factory=dict)
