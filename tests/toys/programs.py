"""Programs for processes of their own."""

from __future__ import annotations

__all__ = ["VERBS_IN_ONE_PROCESS"]

# to start torch and the model takes longer than most verbs do
VERBS_IN_ONE_PROCESS = """
import contextlib, io, json, sys
from geofovea.pipeline.cli import main
for words in json.load(sys.stdin):
    code, out, err = 0, io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(words)
        except SystemExit as exit:
            code = exit.code or 0
    print(json.dumps([code, out.getvalue(), err.getvalue()]))
"""
"""Carries out the JSON list of command lines that it is given; tells how each ended."""
