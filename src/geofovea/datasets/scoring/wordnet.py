"""Which words share a meaning: WordNet 3.0 as a table in the package, or through nltk.

Benchmarks of free answers accept synonyms as WordNet has them, so their scores need it. The table
holds every lemma of WordNet 3.0 (``tools/make_synonym_table.py`` makes it; Princeton's license is
inside, see ``license``), so scoring is exact offline, for any word. Inflections are undone by
WordNet's own rules, called morphy; a phrase with blanks has no entry and thus no synonym, as in
nltk, because WordNet joins the words of a phrase with underscores.
"""

from __future__ import annotations

import json
import lzma
from collections.abc import Iterable, Iterator, Mapping
from functools import cache, cached_property, lru_cache
from importlib.resources import files
from typing import Any, Protocol

from geofovea.errors import DataError, MissingExtraError

__all__ = ["SYNONYM_SOURCES", "NltkWordNet", "NoSynonyms", "Synonyms", "WordNetTable", "synonyms"]

SYNONYM_SOURCES = ("table", "nltk", "none")

_TABLE = "wordnet.json.xz"
_ENDINGS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "n": (
        ("s", ""),
        ("ses", "s"),
        ("ves", "f"),
        ("xes", "x"),
        ("zes", "z"),
        ("ches", "ch"),
        ("shes", "sh"),
        ("men", "man"),
        ("ies", "y"),
    ),
    "v": (
        ("s", ""),
        ("ies", "y"),
        ("es", "e"),
        ("es", ""),
        ("ed", "e"),
        ("ed", ""),
        ("ing", "e"),
        ("ing", ""),
    ),
    "a": (("er", ""), ("est", ""), ("er", "e"), ("est", "e")),
    "r": (),
}


class Synonyms(Protocol):
    """What a scorer asks about words; words are in lower case."""

    @property
    def name(self) -> str:
        """What it is, for reports; two that differ in an answer differ in name."""
        ...

    def meanings(self, word: str, part: str | None = None) -> frozenset[Any]:
        """Synsets of a word; of one part of speech (``n v a r``) where it is given."""
        ...

    def derived(self, word: str) -> frozenset[str]:
        """Lemmas that are derivationally related to any lemma of any synset of a word."""
        ...

    def singular(self, word: str) -> str:
        """The shortest noun that a word is a form of; the word itself if it is none."""
        ...


class WordNetTable:
    """WordNet 3.0 out of the package."""

    name = "WordNet 3.0 (table in the package)"

    @cached_property
    def _table(self) -> dict[str, Any]:
        data = files("geofovea.datasets").joinpath(_TABLE).read_bytes()
        table: dict[str, Any] = json.loads(lzma.decompress(data))
        return table

    @property
    def license(self) -> str:
        """Princeton's notice, which goes with every copy."""
        return str(self._table["licence"])

    @lru_cache(maxsize=2**16)  # noqa: B019 one object for the whole process, see synonyms()
    def meanings(self, word: str, part: str | None = None) -> frozenset[int]:
        """Numbers of the synsets of a word."""
        return frozenset(
            synset
            for p in (part or "nvar")
            for lemma in self._lemmas(word, p)
            for synset in self._table["senses"][p][lemma]
        )

    @lru_cache(maxsize=2**16)  # noqa: B019
    def derived(self, word: str) -> frozenset[str]:
        """Lemmas that are derivationally related to any lemma of any synset of a word."""
        related = self._table["derived"]
        lemmas = (related.get(str(synset), "").split() for synset in self.meanings(word))
        return frozenset(name for names in lemmas for name in names)

    def singular(self, word: str) -> str:
        """The shortest noun that a word is a form of; the word itself if it is none."""
        return min(self._lemmas(word, "n"), key=len, default=word)

    def _lemmas(self, form: str, part: str) -> Iterable[str]:
        """Base forms of a word that are in WordNet.

        Rules are applied again until something is found, as nltk did up to 3.9, with which the
        published scores were made; newer ones stop after the first round.
        """
        lemmas: dict[str, list[int]] = self._table["senses"][part]
        irregular: dict[str, list[str]] = self._table["exceptions"][part]
        if form in irregular:
            return {lemma: None for lemma in (form, *irregular[form]) if lemma in lemmas}
        forms = list(_without_ending([form], part))
        base_forms = {lemma: None for lemma in (form, *forms) if lemma in lemmas}
        while forms and not base_forms:
            forms = list(_without_ending(forms, part))
            base_forms = {lemma: None for lemma in forms if lemma in lemmas}
        return base_forms


def _without_ending(forms: Iterable[str], part: str) -> Iterator[str]:
    for form in forms:
        for ending, base in _ENDINGS[part]:
            if form.endswith(ending):
                yield form.removesuffix(ending) + base


class NltkWordNet:
    """The WordNet that nltk has on this machine, whatever its version."""

    def __init__(self) -> None:
        """Find nltk and its corpus.

        Raises:
            MissingExtraError: If nltk is not installed.
            DataError: If it is, without the corpus.
        """
        try:
            import nltk
            from nltk.corpus import wordnet
        except ImportError as error:
            raise MissingExtraError("nltk", "wordnet", "--synonyms nltk") from error
        try:
            version = wordnet.get_version()
        except LookupError as error:
            raise DataError(
                "nltk is installed without its corpus 'wordnet': run python -m nltk.downloader "
                "wordnet, or score with --synonyms table, which needs no download"
            ) from error
        self._wordnet = wordnet
        self.name = f"WordNet {version} (nltk {nltk.__version__})"

    @lru_cache(maxsize=2**16)  # noqa: B019
    def meanings(self, word: str, part: str | None = None) -> frozenset[Any]:
        """Synsets of a word."""
        return frozenset(self._wordnet.synsets(word, pos=part))

    @lru_cache(maxsize=2**16)  # noqa: B019
    def derived(self, word: str) -> frozenset[str]:
        """Lemmas that are derivationally related to any lemma of any synset of a word."""
        return frozenset(
            form.name().lower()
            for synset in self.meanings(word)
            for lemma in synset.lemmas()
            for form in lemma.derivationally_related_forms()
        )

    def singular(self, word: str) -> str:
        """The shortest noun that a word is a form of; the word itself if it is none."""
        from nltk.stem import WordNetLemmatizer

        return str(WordNetLemmatizer().lemmatize(word))


class NoSynonyms:
    """Equal words only: for scores that must not depend on a dictionary."""

    name = "none (equal words only)"

    def meanings(self, word: str, part: str | None = None) -> frozenset[Any]:  # noqa: ARG002
        """No meaning is known."""
        return frozenset()

    def derived(self, word: str) -> frozenset[str]:  # noqa: ARG002
        """No form is known."""
        return frozenset()

    def singular(self, word: str) -> str:
        """The word itself."""
        return word


@cache
def synonyms(source: str = "table") -> Synonyms:
    """The dictionary of a name of ``SYNONYM_SOURCES``, loaded once.

    Raises:
        DataError: If there is no such source, or nltk lacks its corpus.
        MissingExtraError: If nltk is not installed.
    """
    if source == "table":
        return WordNetTable()
    if source == "nltk":
        return NltkWordNet()
    if source == "none":
        return NoSynonyms()
    raise DataError(f"unknown source of synonyms {source!r}: {', '.join(SYNONYM_SOURCES)}")
