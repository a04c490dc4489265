"""From a message to the few rules that can claim it: by its whole text, its first word, or one telling word."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from vramctl.logs.line import Message
from vramctl.logs.lines import take_apart
from vramctl.logs.literals import leading_words, variants, whole_text, whole_words
from vramctl.logs.rule import Rule

Claim = tuple[str, Rule]
"""The engine whose table it is, and the rule."""
_WORDS_READ = 24
_NO_CLAIMS: tuple[Claim, ...] = ()
ZEROS = "".join("0" if "1" <= chr(code) <= "9" else chr(code) for code in range(128))
"""For `str.translate`: a zero for every digit."""


class Index:
    """Rules of one form of line, found by what the line holds; no line is tried against all of them."""

    def __init__(self, claims: Sequence[Claim]) -> None:
        self.exact: dict[str, tuple[Claim, ...]] = {}
        self.first: dict[str, tuple[Claim, ...]] = {}
        self.inside: dict[str, tuple[Claim, ...]] = {}
        self.function: dict[str, tuple[Claim, ...]] = {}
        common = Counter(
            word for _, rule in claims for variant in variants(rule.pattern.pattern) for word, _ in whole_words(variant)
        )
        for claim in claims:
            for variant in variants(claim[1].pattern.pattern):
                self._place(claim, variant, common)
        self.telling = self.inside.keys()
        self._whatever_digits: Index | None = None

    def _place(self, claim: Claim, variant: str, common: Counter[str]) -> None:
        """Puts a rule, in one of its wordings, where the cheapest look-up finds it."""
        rule = claim[1]
        if rule.function:
            for function in rule.function:
                _append(self.function, function, claim)
            return
        text = whole_text(variant)
        if text is not None:
            _append(self.exact, text, claim)
            return
        words = whole_words(variant)
        if not words:
            raise ValueError(f"{rule.kind}: {variant!r} holds no whole word; name the function")
        leading = leading_words(variant)
        if leading:
            _append(self.first, " ".join(leading), claim)
            return
        telling = min(words, key=lambda found: (common[found[0]], -len(found[0])))
        _append(self.inside, telling[0], claim)

    def candidates(self, message: Message) -> Iterable[Claim]:
        """The rules worth trying on a message."""
        text = message.text
        found = self.exact.get(text, _NO_CLAIMS)
        words = text.split(None, _WORDS_READ)
        if words:
            found += self.first.get(words[0], _NO_CLAIMS)
            if len(words) > 1:
                found += self.first.get(f"{words[0]} {words[1]}", _NO_CLAIMS)
        if message.function:
            found += self.function.get(message.function, _NO_CLAIMS)
        for word in self.telling & words:
            found += self.inside[word]
        return found

    def whatever_digits(self) -> Index:
        """The index in which the digits of keys are zeros: it finds all that could claim a message with other digits."""
        if self._whatever_digits is None:
            self._whatever_digits = found = Index(())
            for own, other in zip(self._keyed(), found._keyed(), strict=True):
                for key, claims in own.items():
                    for claim in claims:
                        _append(other, key.translate(ZEROS), claim)
        return self._whatever_digits

    def _keyed(self) -> tuple[dict[str, tuple[Claim, ...]], ...]:
        return self.exact, self.first, self.inside, self.function


def without_digits(message: Message) -> Message:
    """The message with zeros for its digits, as `whatever_digits` is asked for it."""
    return message._replace(text=message.text.translate(ZEROS), function=message.function.translate(ZEROS))


def _append(index: dict[str, tuple[Claim, ...]], key: str, claim: Claim) -> None:
    """Adds a rule to those of `key`."""
    known = index.get(key, _NO_CLAIMS)
    if claim not in known:
        index[key] = (*known, claim)


def indexes(tables: Iterable[tuple[str, Sequence[Rule]]]) -> dict[str, Index]:
    """An index for each form of line; a rule's form is that of its example."""
    claims: dict[str, list[Claim]] = {"go": [], "text": []}
    for engine, rules in tables:
        for rule in rules:
            claims[take_apart(rule.example).message.form].append((engine, rule))
    return {form: Index(found) for form, found in claims.items()}
