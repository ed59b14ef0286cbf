"""Tokenizers that know single bytes and the special words of a checkpoint, at their own ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers
from tokenizers import processors as post
from transformers import PreTrainedTokenizerFast

__all__ = ["tokenizer_with"]


@cache
def _bytes(ordinary: int) -> str:
    """A model of ``ordinary`` words: bytes, two to four line ends in a row, and fillers."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: i for i, letter in enumerate(alphabet)}
    merges = [("Ċ", "Ċ"), ("ĊĊ", "Ċ"), ("ĊĊ", "ĊĊ")]
    for left, right in merges:
        vocabulary[left + right] = len(vocabulary)
    vocabulary |= {f"word{i}": i for i in range(len(vocabulary), ordinary)}
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    made.normalizer = normalizers.NFC()
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    made.decoder = decoders.ByteLevel()
    return str(made.to_str())


def tokenizer_with(
    ordinary: int,
    special: Mapping[int, str],
    begin: str | None = None,
    plain: Sequence[str] = (),
    named: Mapping[str, str] | None = None,
) -> PreTrainedTokenizerFast:
    """A tokenizer with words at given ids.

    Args:
        ordinary: Ids of the model; the words of the checkpoint stand behind them.
        special: Words by their ids, from ``ordinary`` on.
        begin: The word that begins every text.
        plain: Those of the words that are added and not special.
        named: Words by the names that a processor has for them, such as ``image_token``.
    """
    made = Tokenizer.from_str(_bytes(ordinary))
    words = [special.get(i, f"<unused_{i}>") for i in range(ordinary, max(special) + 1)]
    made.add_tokens(
        [AddedToken(word, special=word not in plain, normalized=False) for word in words]
    )
    if begin is not None:
        made.post_processor = post.TemplateProcessing(
            single=f"{begin} $A", special_tokens=[(begin, made.token_to_id(begin))]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token=begin, extra_special_tokens=dict(named or {})
    )
