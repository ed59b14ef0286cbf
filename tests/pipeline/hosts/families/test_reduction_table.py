"""The page says of every family which reductions, layer methods and memories it accepts."""

import pytest
from reduction_rows import PAGE, page_with, table


@pytest.mark.slow
def test_the_page_says_what_hosts_of_every_family_accept():
    hint = "run PYTHONPATH=tests/toys:src python tests/toys/reduction_rows.py"
    assert PAGE.read_text(encoding="utf-8") == page_with(table()), hint
