"""A damaged journal is mended or told as such: what it still says was said, and nothing else."""

import json
import random
import shutil
import sqlite3
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geofovea.errors import DataError, GeoFoveaError, OutputError
from geofovea.pipeline.runs.item import ItemKey
from geofovea.pipeline.runs.journal import Journal

PAGE = 4096


def key(number):
    return ItemKey(f"/scenes/s{number // 20}.tif|1,2", f"How many {number}?", "c")


class Written(tuple):
    """Folders and truth; hypothesis would show all of it where a test fails."""

    def __repr__(self):
        return "written"


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Two folders with one journal, closed and as a killed run leaves it, and what it holds."""
    folder = tmp_path_factory.mktemp("journals")
    truth = {}
    (folder / "closed").mkdir()
    with Journal(folder / "closed" / "journal.sqlite") as journal:
        journal.adopt("c", {"tiles": 6})
        for number in range(60):
            journal.begin(key(number))
            if number % 7 == 3:
                journal.fail(key(number), f"SceneError: {number} é")
                truth[key(number)] = ("failed", None, f"SceneError: {number} é")
            else:
                # most are longer than a page
                record = json.dumps({"answer": str(number), "evidence": ["x" * 99] * number})
                journal.answer(key(number), record)
                truth[key(number)] = ("answered", record, None)
        shutil.copytree(folder / "closed", folder / "killed")
    return Written((folder, truth))


def opened_twice(path):
    """What the journal says, after it was mended where that was needed, and what was told of it."""
    with Journal(path) as journal:
        journal.adopt("c", {"tiles": 6})
        entries, notes = journal.entries("c"), list(journal.notes)
        fresh = ItemKey("x", "fresh", "c")
        journal.begin(fresh)
        journal.answer(fresh, "{}")
    with Journal(path) as journal:
        journal.adopt("c", {"tiles": 6})
        again = journal.entries("c")
        assert journal.notes == []
    assert again.pop(fresh).state == "answered"
    assert again == entries
    ends = {k: e for k, e in entries.items() if e.state != "begun"}
    return {k: (e.state, e.record, e.error) for k, e in ends.items()}, notes


def flip(data, rng):
    for _ in range(rng.choice((1, 1, 100))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return data


def zero(data, rng):
    start = rng.randrange(len(data))
    end = min(len(data), start + rng.choice((1, 100, 2 * PAGE)))
    data[start:end] = bytes(end - start)
    return data


def zero_page(data, rng):
    start = PAGE * rng.randrange(max(1, len(data) // PAGE))
    data[start : start + PAGE] = bytes(len(data[start : start + PAGE]))
    return data


def without_head(data, rng):
    return rng.randbytes(100) + data[100:]


def cut(data, rng):
    return data[: rng.randrange(len(data))]


def longer(data, rng):
    return data + rng.randbytes(rng.randrange(9000))


def replaced(data, rng):
    return rng.choice((b"", b"hello\n" * 900, rng.randbytes(len(data))))


DAMAGES = [flip, zero, zero_page, without_head, cut, longer, replaced]


@given(
    seed=st.integers(0, 10**9),
    damage=st.sampled_from(DAMAGES),
    state=st.sampled_from(["closed", "killed"]),
    suffix=st.sampled_from(["", "-wal"]),
)
@settings(deadline=None, max_examples=150)
def test_whatever_is_damaged_no_other_answer_is_told_and_the_error_is_typed(
    written, tmp_path_factory, seed, damage, state, suffix
):
    folder, truth = written
    place = tmp_path_factory.mktemp("damaged")
    shutil.copytree(folder / state, place, dirs_exist_ok=True)
    path = place / "journal.sqlite"
    target = Path(f"{path}{suffix}")
    if target.exists():
        target.write_bytes(damage(bytearray(target.read_bytes()), random.Random(seed)))
    with suppress(GeoFoveaError):
        said, _ = opened_twice(path)
        assert said.items() <= truth.items()
    shutil.rmtree(place)


def put_right(path, folder, state, change):
    shutil.copytree(folder / state, path.parent, dirs_exist_ok=True)
    data = bytearray(path.read_bytes())
    path.write_bytes(change(data))


@pytest.mark.parametrize(
    ("change", "least"),
    [
        (lambda data: bytes(PAGE) + data[PAGE:], 60),
        (lambda data: b"X" + data[1:], 60),
        (lambda data: data[: len(data) // 2 // PAGE * PAGE], 10),
        (lambda data: data[: 8 * PAGE] + bytes(PAGE) + data[9 * PAGE :], 50),
    ],
    ids=["first page", "magic", "half", "one page"],
)
def test_what_is_sound_is_saved_and_the_damaged_file_is_kept(written, tmp_path, change, least):
    folder, truth = written
    path = tmp_path / "journal.sqlite"
    put_right(path, folder, "closed", change)
    damaged = path.read_bytes()
    said, (note,) = opened_twice(path)
    assert least <= len(said)
    assert said.items() <= truth.items()
    kept = tmp_path / "journal.sqlite.damaged"
    assert kept.read_bytes() == damaged
    assert f"{len(said)} answers and failures" in note
    assert str(kept) in note
    assert sorted(p.name for p in tmp_path.iterdir() if "lock" not in p.name) == [
        "journal.sqlite",
        "journal.sqlite.damaged",
    ]


def test_answers_that_a_killed_run_left_in_its_log_outlive_the_file(written, tmp_path):
    folder, truth = written
    path = tmp_path / "out" / "journal.sqlite"
    shutil.copytree(folder / "killed", path.parent)
    assert path.stat().st_size < Path(f"{path}-wal").stat().st_size
    path.unlink()
    said, _ = opened_twice(path)
    assert said == truth


def test_a_flaw_in_the_log_takes_what_is_there_and_not_all_that_follows(written, tmp_path):
    folder, truth = written
    path = tmp_path / "out" / "journal.sqlite"
    shutil.copytree(folder / "killed", path.parent)
    log = Path(f"{path}-wal")
    data = bytearray(log.read_bytes())
    data[40] ^= 1
    log.write_bytes(data)
    said, (note,) = opened_twice(path)
    assert said == truth
    assert "the log of" in note


@pytest.mark.parametrize(
    "change",
    [
        "record = substr(record, 1, 20)",
        "record = replace(record, '5', '6')",
        "record = cast(replace(record, 'answer', 'an' || x'ff' || 'wer') as text)",
        "record = NULL",
        "record = x'00'",
        "state = 'failed'",
        "question = 'How many 6?'",
        "tries = 'many'",
        "digest = NULL",
        "error = 'so'",
    ],
)
def test_a_record_that_was_changed_is_taken_out_and_the_others_stay(written, tmp_path, change):
    folder, truth = written
    path = tmp_path / "out" / "journal.sqlite"
    shutil.copytree(folder / "closed", path.parent)
    base = sqlite3.connect(path)
    base.execute("DELETE FROM items WHERE question = 'How many 6?'")
    base.execute(f"UPDATE items SET {change} WHERE question = 'How many 5?'")
    base.commit()
    base.close()
    said, (note,) = opened_twice(path)
    assert said == {k: v for k, v in truth.items() if k not in (key(5), key(6))}
    assert note.startswith("1 damaged entries")


@pytest.mark.parametrize("change", ["DELETE FROM facts", "UPDATE facts SET value = x'ff'"])
def test_facts_that_cannot_be_read_cost_no_answer(written, tmp_path, change):
    folder, truth = written
    path = tmp_path / "out" / "journal.sqlite"
    shutil.copytree(folder / "closed", path.parent)
    base = sqlite3.connect(path)
    base.execute(change)
    base.commit()
    base.close()
    assert opened_twice(path)[0] == truth


def test_a_journal_of_the_first_format_is_read_and_gets_its_digests(tmp_path):
    path = tmp_path / "journal.sqlite"
    base = sqlite3.connect(path)
    base.executescript(
        "CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;"
        "CREATE TABLE items (scene TEXT NOT NULL, question TEXT NOT NULL, "
        "configuration TEXT NOT NULL, state TEXT NOT NULL, tries INTEGER NOT NULL, record TEXT, "
        "error TEXT, changed REAL NOT NULL, PRIMARY KEY (scene, question, configuration));"
        "INSERT INTO facts VALUES ('format', '1');"
    )
    rows = [(*"ab", "c", "answered", 1, '{"answer": "5"}', None, 1.5)]
    rows += [(*"ac", "c", "failed", 1, None, "SceneError: no", 1.5)]
    rows += [(*"ad", "c", "answered", 1, '{"answ', None, 1.5)]
    base.executemany("INSERT INTO items VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
    base.commit()
    base.close()
    said, notes = opened_twice(path)
    assert {k.question: end[0] for k, end in said.items()} == {"b": "answered", "c": "failed"}
    assert len(notes) == 1


def test_a_database_of_something_else_is_refused_and_left_as_it_is(tmp_path):
    path = tmp_path / "journal.sqlite"
    base = sqlite3.connect(path)
    base.execute("CREATE TABLE letters (text)")
    base.close()
    before = path.read_bytes()
    with pytest.raises(DataError, match="something else"), Journal(path):
        pass
    assert path.read_bytes() == before


def test_a_journal_of_a_later_version_is_refused(tmp_path):
    path = tmp_path / "journal.sqlite"
    with Journal(path) as journal:
        journal._write("UPDATE facts SET value = '99' WHERE name = 'format'", ())
    with pytest.raises(DataError, match="of format 99"), Journal(path):
        pass


def test_a_journal_that_is_a_folder_is_told_as_such(tmp_path):
    (tmp_path / "journal.sqlite").mkdir()
    with pytest.raises(DataError, match="not a regular file"), Journal(tmp_path / "journal.sqlite"):
        pass


def test_a_journal_that_may_not_be_written_says_so_and_not_make_room(tmp_path):
    path = tmp_path / "journal.sqlite"
    with Journal(path) as journal:
        journal._base.execute("PRAGMA query_only = ON")
        with pytest.raises(OutputError, match="permissions"):
            journal.begin(key(1))
