"""Make ``src/geofovea/datasets/wordnet.json.xz`` from the database files of WordNet 3.0.

    python tools/make_synonym_table.py /usr/share/wordnet

The folder is that of ``apt install wordnet-base``, or ``corpora/wordnet`` of nltk's data: both hold
the files of Princeton's release. All lemmas are taken, not those of some benchmark: so the table
answers for any word that a model may say, and holds nothing of anybody's annotations. The file
formats are those of the manual page wndb(5WN).
"""

from __future__ import annotations

import argparse
import json
import lzma
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "src" / "geofovea" / "datasets" / "wordnet.json.xz"
PARTS = {"n": "noun", "v": "verb", "a": "adj", "r": "adv"}
DERIVED = "+"
"""The pointer symbol of derivationally related forms."""

Address = tuple[str, int]


def synset_lines(folder: Path, part: str) -> list[list[str]]:
    """The fields of every synset of a part of speech; the license above them is indented."""
    lines = (folder / f"data.{PARTS[part]}").read_text(encoding="utf-8").splitlines()
    return [line.split(" | ")[0].split() for line in lines if not line.startswith("  ")]


def words_of(fields: list[str]) -> list[str]:
    """The lemmas of a synset in lower case; adjectives lose their syntactic marker."""
    count = int(fields[3], 16)
    return [fields[4 + 2 * i].split("(")[0].lower() for i in range(count)]


def derived_pointers(fields: list[str]) -> list[tuple[Address, int]]:
    """Target synset and 1-based number of its word, for each derivationally related form."""
    start = 4 + 2 * int(fields[3], 16)
    count = int(fields[start])
    found = []
    for i in range(count):
        symbol, offset, part, ends = fields[start + 1 + 4 * i : start + 5 + 4 * i]
        if symbol == DERIVED:
            found.append(((part.replace("s", "a"), int(offset)), int(ends[2:], 16)))
    return found


def senses(folder: Path, part: str) -> dict[str, list[int]]:
    """Offsets of the synsets of each lemma."""
    found = {}
    for line in (folder / f"index.{PARTS[part]}").read_text(encoding="utf-8").splitlines():
        if not line.startswith("  "):
            fields = line.split()
            found[fields[0]] = [int(offset) for offset in fields[-int(fields[2]) :]]
    return found


def exceptions(folder: Path, part: str) -> dict[str, list[str]]:
    """Irregular forms with their lemmas; of a form that is listed twice the last counts."""
    lines = (folder / f"{PARTS[part]}.exc").read_text(encoding="utf-8").splitlines()
    return {fields[0]: fields[1:] for fields in (line.split() for line in lines)}


def license_notice(folder: Path) -> str:
    """The notice that must go with every copy; it opens each data file, behind line numbers."""
    lines = (folder / "data.adv").read_text(encoding="utf-8").splitlines()
    return "\n".join(line[4:].strip() for line in lines if line.startswith("  "))


def make_table(folder: Path) -> dict[str, object]:
    """Everything that the scorers ask of WordNet, synsets numbered across parts of speech."""
    synsets = {
        (part, int(fields[0])): fields for part in PARTS for fields in synset_lines(folder, part)
    }
    number = {address: i for i, address in enumerate(synsets)}
    derived = {}
    for address, fields in synsets.items():
        names = {words_of(synsets[to])[word - 1] for to, word in derived_pointers(fields)}
        if names:
            derived[number[address]] = " ".join(sorted(names))
    return {
        "version": "3.0",
        "licence": license_notice(folder),
        "senses": {
            part: {
                lemma: [number[part, offset] for offset in offsets]
                for lemma, offsets in senses(folder, part).items()
            }
            for part in PARTS
        },
        "exceptions": {part: exceptions(folder, part) for part in PARTS},
        "derived": derived,
    }


def main() -> int:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path, help="where data.noun and its companions are")
    parser.add_argument("--output", type=Path, default=TARGET)
    options = parser.parse_args()
    if not (options.folder / "data.noun").is_file():
        print(f"{options.folder} holds no data.noun", file=sys.stderr)
        return 2
    text = json.dumps(make_table(options.folder), separators=(",", ":"))
    options.output.write_bytes(lzma.compress(text.encode(), preset=9 | lzma.PRESET_EXTREME))
    print(f"wrote {options.output}: {options.output.stat().st_size / 1e6:.2f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
