"""Where the disk is full or the process is killed, nothing half-written is left under a name."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

resource = pytest.importorskip("resource", reason="limits of file sizes are a Unix thing")

LIMIT = 200_000

# a file cannot grow beyond the limit, as on a disk that is full: the write fails half way
WRITE_TEXT = """
    from geofovea.pipeline.system.files import write_text
    write_text(sys.argv[1], "x" * 1_000_000)
"""
WRITE_SCENE = """
    from geofovea.datasets.synthetic.scene_files import write_scene
    from geofovea.datasets.synthetic.world import make_world
    write_scene(make_world(1, 1024, 1024), sys.argv[1])
"""
PRELUDE = f"""
    import resource, sys
    from geofovea.errors import OutputError
    resource.setrlimit(resource.RLIMIT_FSIZE, ({LIMIT}, {LIMIT}))
    try:
"""
EPILOGUE = """
    except OutputError as error:
        print("OutputError", error)
        sys.exit(3)
"""


def run_limited(body, path):
    code = textwrap.dedent(PRELUDE) + textwrap.indent(textwrap.dedent(body), "    ")
    code += textwrap.dedent(EPILOGUE)
    command = [sys.executable, "-W", "ignore", "-c", code, str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.parametrize("body", [WRITE_TEXT, WRITE_SCENE], ids=["text", "scene"])
@pytest.mark.parametrize("older", [None, b"older"])
def test_a_full_disk_is_an_output_error_and_leaves_what_was_there(tmp_path, body, older):
    path = tmp_path / "result.tif"
    if older:
        path.write_bytes(older)
    done = run_limited(body, path)
    assert done.returncode == 3, done.stderr
    assert "result.tif" in done.stdout
    assert [p.name for p in tmp_path.iterdir()] == (["result.tif"] if older else [])
    if older:
        assert path.read_bytes() == older


def test_a_killed_process_leaves_no_half_written_file_under_the_name(tmp_path):
    path = tmp_path / "result.txt"
    path.write_text("older")
    code = """
    import sys, time
    from geofovea.pipeline.system.files import write_file
    def slowly(aside):
        aside.write_text("half")
        print("half", flush=True)
        time.sleep(60)
    write_file(sys.argv[1], slowly)
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"half\n"
        os.kill(process.pid, signal.SIGKILL)
        process.wait(20)
    assert path.read_text() == "older"
    assert time.time() - path.stat().st_mtime < 600
