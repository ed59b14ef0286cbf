"""What tests of the command line have in common."""

FEW = ["--tiles", "12", "--tokens", "60"]
"""A budget that is quick to answer by."""


def is_one_error_line(result):
    lines = result.stderr.splitlines()
    return len(lines) == 1 and lines[0].startswith("error: ") and result.stdout == ""
