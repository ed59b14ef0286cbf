"""Files are complete or not there at all; what was there stays until the new one is whole."""

import os
import signal
import socket
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from geofovea.errors import DiskSpaceError, OutputError, SceneReadError
from geofovea.pipeline.system.files import (
    check_writable,
    make_folder,
    write_file,
    write_text,
)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_text_is_written_with_one_final_newline(tmp_path):
    for text in ("naïve", "naïve\n", "naïve\n\n"):
        write_text(tmp_path / "a.txt", text)
        assert (tmp_path / "a.txt").read_bytes() == "naïve\n".encode()
    assert names(tmp_path) == ["a.txt"]


@pytest.fixture
def umask():
    """``umask(0o077)`` until the end of the test."""
    before = os.umask(0o022)
    yield os.umask
    os.umask(before)


def mode_of(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("mask", [0o022, 0o002, 0o077, 0o027])
def test_a_file_has_the_permissions_that_the_umask_leaves(tmp_path, umask, mask):
    umask(mask)
    write_text(tmp_path / "a.txt", "x")
    assert mode_of(tmp_path / "a.txt") == 0o666 & ~mask
    write_text(tmp_path / "secret.txt", "x", private=True)
    assert mode_of(tmp_path / "secret.txt") == 0o600
    assert mode_of(make_folder(tmp_path / "a" / "b")) == 0o777 & ~mask
    assert mode_of(make_folder(tmp_path / "c" / "d", private=True)) == 0o700
    assert mode_of(tmp_path / "c") == 0o777 & ~mask


@pytest.mark.parametrize(("older", "newer"), [(0o600, 0o600), (0o644, 0o640), (0o664, 0o640)])
def test_a_file_that_is_written_over_is_opened_to_nobody_new(tmp_path, umask, older, newer):
    umask(0o027)
    (tmp_path / "a.txt").write_text("older")
    (tmp_path / "a.txt").chmod(older)
    write_text(tmp_path / "a.txt", "newer")
    assert mode_of(tmp_path / "a.txt") == newer


def test_a_link_stays_and_the_file_behind_it_is_written(tmp_path):
    (tmp_path / "far").mkdir()
    target = tmp_path / "far" / "real.txt"
    for content in (None, "older\n"):
        target.unlink(missing_ok=True)
        if content:
            target.write_text(content)
        for number, name in enumerate(("far/real.txt", target, tmp_path / "link0")):
            link = tmp_path / f"link{number}"
            if not link.is_symlink():
                link.symlink_to(name)
            write_text(link, f"newer {number}")
            assert link.is_symlink()
            assert target.read_text() == f"newer {number}\n"
    assert names(tmp_path / "far") == ["real.txt"]


def test_links_in_a_circle_and_to_nowhere_are_output_errors(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    (tmp_path / "c").symlink_to("no/folder/file")
    for name in "ac":
        with pytest.raises(OutputError, match="written"):
            write_text(tmp_path / name, "x")
        assert (tmp_path / name).is_symlink()


def test_a_pipe_gets_the_whole_text_and_stays_a_pipe(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    text = "x" * 300_000  # more than a pipe holds
    with ThreadPoolExecutor() as pool:
        heard, is_written = pool.submit(pipe.read_text), False
        while not is_written:
            # until the reader is there, and once: it reads until the last writer has gone
            with suppress(OutputError):
                write_text(pipe, text)
                is_written = True
        assert heard.result(60) == text + "\n"
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert names(tmp_path) == ["pipe"]


def test_a_pipe_without_a_reader_is_an_error_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OutputError, match="nobody reads from it"):
        write_text(tmp_path / "pipe", "x")


def test_a_device_takes_the_text_and_stays_a_device(tmp_path):
    (tmp_path / "link").symlink_to("/dev/null")
    for path in (Path("/dev/null"), tmp_path / "link"):
        check_writable(path)
        write_text(path, "x")
        write_file(path, lambda aside: aside.write_bytes(bytes(100)))
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
    assert (tmp_path / "link").is_symlink()


def test_a_socket_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the names of sockets are short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("s")
        with pytest.raises(OutputError, match="is a socket"):
            write_text("s", "x")
    assert stat.S_ISSOCK(Path("s").stat().st_mode)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="no /proc on this system")
@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_standard_output_in_a_file_goes_on_where_it_was(tmp_path, name):
    code = (
        "from geofovea.pipeline.system.files import write_text\n"
        f"print('before'); write_text({name!r}, 'result'); print('after')"
    )
    with (tmp_path / "out").open("w") as out:
        subprocess.run([sys.executable, "-c", code], stdout=out, check=True)
    assert (tmp_path / "out").read_text() == "before\nresult\nafter\n"
    assert names(tmp_path) == ["out"]


def test_a_text_with_half_a_character_is_written_readable(tmp_path):
    write_text(tmp_path / "a.txt", "caf\udce9")
    assert (tmp_path / "a.txt").read_text() == "caf\\udce9\n"


@pytest.mark.parametrize("older", [None, "older\n"])
@pytest.mark.parametrize(
    "failure", [OSError(28, "No space left on device"), RuntimeError("bug"), KeyboardInterrupt()]
)
def test_a_write_that_fails_half_way_leaves_everything_as_it_was(tmp_path, older, failure):
    path = tmp_path / "a.txt"
    if older is not None:
        path.write_text(older)

    def fail(aside):
        aside.write_text("half")
        raise failure

    expected = OutputError if isinstance(failure, OSError) else type(failure)
    with pytest.raises(expected):
        write_file(path, fail)
    assert (path.read_text() if path.exists() else None) == older
    assert names(tmp_path) == ([] if older is None else ["a.txt"])


def test_a_move_that_fails_leaves_everything_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    path.write_text("older\n")

    def fail(self, target):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OutputError, match=r"could not be written: Input/output error$"):
        write_text(path, "newer")
    assert path.read_text() == "older\n"
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full device")
def test_a_full_disk_is_told_with_the_next_step(tmp_path):
    step = r"No space left on device; make room there, and run the same command again$"
    with pytest.raises(OutputError, match=rf"^/dev/full could not be written: {step}"):
        write_text("/dev/full", "x" * 10_000)

    def fill(aside):
        Path("/dev/full").write_text("x" * 10_000)

    with pytest.raises(OutputError, match=rf"b\.txt could not be written: {step}"):
        write_file(tmp_path / "b.txt", fill)
    # it is the disk of temporary files that is full
    with pytest.raises(OutputError, match=rf"^/dev/null could not be written by way of .*: {step}"):
        write_file("/dev/null", fill)


def test_the_file_is_not_there_before_it_is_whole(tmp_path):
    path = tmp_path / "a.txt"

    def look(aside):
        assert not path.exists()
        assert aside.parent == path.parent
        assert aside.suffix == path.suffix
        aside.write_text("whole")

    write_file(path, look)
    assert path.read_text() == "whole"


def test_a_path_that_cannot_be_a_file_is_refused_in_words(tmp_path):
    with pytest.raises(OutputError, match="is a folder"):
        check_writable(tmp_path)
    with pytest.raises(OutputError, match="there is no folder"):
        check_writable(tmp_path / "nowhere" / "a.txt")
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="there is no folder"):
        check_writable(tmp_path / "file" / "a.txt")
    check_writable(tmp_path / "a.txt")
    assert not (tmp_path / "a.txt").exists()


def test_a_read_only_folder_is_refused(tmp_path, monkeypatch):
    # whoever runs the tests may be allowed everything
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(OutputError, match="is read-only"):
        check_writable(tmp_path / "a.txt")


@pytest.mark.parametrize("name", ["x" * 300 + ".txt", "a\0b.txt"])
def test_a_name_that_no_file_can_have_is_an_output_error(tmp_path, name):
    with pytest.raises(OutputError, match="written"):
        write_text(tmp_path / name, "x")
    assert names(tmp_path) == []


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no /proc on this system")
def test_a_folder_that_takes_no_files_is_an_output_error():
    with pytest.raises(OutputError, match="written"):
        write_text("/proc/a.txt", "x")


def test_folders_are_made_with_their_parents(tmp_path):
    assert make_folder(tmp_path / "a" / "b") == tmp_path / "a" / "b"
    assert make_folder(tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").write_text("x")
    reasons = dict.fromkeys(("file", "file/b"), "a file is in its place") | {"x" * 300: "too long"}
    for name, reason in (reasons | {"a\0b": "null"}).items():
        with pytest.raises(OutputError, match=f"cannot be made: .*{reason}.*; name another folder"):
            make_folder(tmp_path / name)


@pytest.mark.parametrize("error", [SceneReadError("the scene is damaged"), DiskSpaceError("full")])
def test_what_fails_while_a_file_is_made_says_itself_what_is_wrong(tmp_path, error):
    def fail(_aside):
        raise error

    with pytest.raises(type(error)) as caught:
        write_file(tmp_path / "a.txt", fail)
    assert caught.value is error
    assert names(tmp_path) == []


KILLED = """
import os, signal, sys
from pathlib import Path
from geofovea.pipeline.system.files import write_file

def killed(aside):
    aside.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)

write_file(Path(sys.argv[1]), killed)
"""


@pytest.mark.skipif(os.name != "posix", reason="processes are asked after by a signal")
def test_what_a_killed_process_left_half_written_goes_with_the_next_run(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("older")
    process = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    assert process.returncode == -signal.SIGKILL
    assert len(names(tmp_path)) == 2

    def look(aside):
        aside.write_text("whole")
        # a file that is under way stays, and so does what is no such file
        (tmp_path / ".geofovea-cache").touch()
        make_folder(tmp_path)
        assert names(tmp_path) == sorted([".geofovea-cache", aside.name, "a.txt"])

    write_file(path, look)
    assert path.read_text() == "whole"
    assert names(tmp_path) == [".geofovea-cache", "a.txt"]


def test_what_another_machine_writes_is_left_for_a_day(tmp_path):
    aside = tmp_path / ".geofovea-0123ab_1_0123456789ab.json"
    aside.touch()
    make_folder(tmp_path)
    assert aside.exists()
    yesterday = time.time() - 25 * 3600
    os.utime(aside, (yesterday, yesterday))
    make_folder(tmp_path)
    assert not aside.exists()
