"""Threads of torch: as many as a model is worth, put back afterwards, asleep while they wait."""

import os
import subprocess
import sys
import threading

import pytest
import torch
from click.testing import CliRunner

import geofovea as gf
from geofovea.errors import ModelError
from geofovea.pipeline.cli import main
from geofovea.pipeline.hosts.load import load_host
from geofovea.pipeline.system import torch_threads
from geofovea.pipeline.system.torch_threads import PARAMETERS_A_THREAD, threads_for, using_threads


@pytest.fixture(autouse=True)
def eight(monkeypatch):
    """Torch has been left to take eight threads, and there are as many cores."""
    for name in torch_threads._CHOSEN_BY_USER:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(torch_threads, "usable_cores", lambda: 8)
    before = torch.get_num_threads()
    torch.set_num_threads(8)
    yield
    torch.set_num_threads(before)


def model_of(parameters):
    with torch.device("meta"):
        return torch.nn.Linear(parameters, 1, bias=False)


@pytest.mark.parametrize(
    ("parameters", "threads"),
    [
        (1, 1),
        (2 * PARAMETERS_A_THREAD - 1, 1),
        (3 * PARAMETERS_A_THREAD, 3),
        (10**9, 8),
    ],
)
def test_a_model_gets_as_many_threads_as_it_is_worth_and_no_more_than_cores(parameters, threads):
    assert threads_for(model_of(parameters)) == threads


def test_cores_of_a_container_and_of_workers_count_and_so_does_what_the_user_set(monkeypatch):
    large = model_of(10**9)
    monkeypatch.setattr(torch_threads, "usable_cores", lambda: 2)
    assert threads_for(large) == 2
    monkeypatch.setattr(torch_threads, "_share", 1)
    assert threads_for(large) == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    assert threads_for(model_of(1)) == 8


def test_threads_are_put_back_whoever_leaves_last():
    inside, may_leave, seen = threading.Event(), threading.Event(), []

    def other():
        with using_threads(2):
            inside.set()
            may_leave.wait(10)
            seen.append(torch.get_num_threads())
        seen.append(torch.get_num_threads())

    with using_threads(1), using_threads(3):
        assert torch.get_num_threads() == 3
        thread = threading.Thread(target=other)
        thread.start()
        inside.wait(10)
    assert torch.get_num_threads() == 8
    may_leave.set()
    thread.join()
    assert seen == [2, 8]
    fresh = []
    thread = threading.Thread(target=lambda: fresh.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert fresh == [8]
    with using_threads(None):
        assert torch.get_num_threads() == 8


def test_a_question_is_asked_with_the_number_that_was_given(scene_path, tiny_folder):
    host, seen = load_host(str(tiny_folder), threads=2), []
    hook = host.decoder.register_forward_pre_hook(lambda *_: seen.append(torch.get_num_threads()))
    try:
        session = gf.SceneSession(gf.open_scene(scene_path), host)
        session.ask("Are there cars?")
        assert load_host(str(tiny_folder)) is host
        session.ask("Are there boats?")
    finally:
        hook.remove()
    assert set(seen) == {2, 1}
    assert torch.get_num_threads() == 8


@pytest.mark.parametrize("threads", [0, -1])
def test_no_thread_at_all_is_refused(threads):
    with pytest.raises(ModelError, match="is not a number of threads"):
        load_host(threads=threads)


@pytest.mark.parametrize("verb", ["ask", "batch", "eval", "demo"])
def test_every_verb_that_asks_takes_a_number_of_threads(verb):
    help_option = "--help" if verb == "demo" else "--help-all"
    assert "--threads" in CliRunner().invoke(main, [verb, help_option]).output
    refused = CliRunner().invoke(main, [verb, "--threads", "0"])
    assert refused.exit_code == 2
    assert "--threads" in refused.output


@pytest.mark.parametrize("given", [{}, {"OMP_WAIT_POLICY": "ACTIVE"}, {"GOMP_SPINCOUNT": "9"}])
def test_threads_wait_asleep_unless_the_user_said_how(given):
    names = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "KMP_LIBRARY")
    env = {name: value for name, value in os.environ.items() if name not in names} | given
    code = "import geofovea, os; print(os.environ.get('OMP_WAIT_POLICY'))"
    told = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    expected = "PASSIVE" if not given else given.get("OMP_WAIT_POLICY", "None")
    assert told.stdout.strip() == expected


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_child_computes_after_its_parent_computed_with_many_threads():
    code = """
import os, signal, torch
from geofovea.pipeline.system import torch_threads
torch.set_num_threads(2)
a = torch.ones(600, 600)
a @ a
child = os.fork()
if child == 0:
    signal.alarm(20)
    os._exit(0 if float((a @ a).sum()) == 600.0**3 and torch.get_num_threads() == 1 else 3)
print(os.waitpid(child, 0)[1])
"""
    told = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True
    )
    assert told.stdout.strip() == "0", told.stderr
