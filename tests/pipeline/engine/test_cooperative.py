"""Pieces of work that meet run in turns, get what they asked for, and never hang."""

import threading

import pytest

from geofovea.pipeline.engine.cooperative import run_together


def adder(numbers):
    """Asks for the double of each number and adds up."""

    def work(ask):
        return sum(ask(number) for number in numbers)

    return work


def test_each_piece_gets_its_own_answers_and_needs_are_met_together():
    rounds = []

    def serve(needs):
        rounds.append(list(needs))
        return {i: 2 * need for i, need in enumerate(needs)}

    assert run_together([adder([1, 2, 3]), adder([10]), adder([])], serve) == [12, 20, 0]
    assert rounds == [[1, 10], [2], [3]]


def test_those_that_are_not_served_wait_for_the_others():
    rounds = []

    def even_first(needs):
        even = [i for i, need in enumerate(needs) if need % 2 == 0]
        rounds.append([needs[i] for i in even or range(len(needs))])
        return {i: needs[i] for i in even or range(len(needs))}

    assert run_together([adder([2, 4, 1]), adder([3]), adder([6, 5])], even_first) == [7, 3, 11]
    assert rounds == [[2, 6], [4], [1, 3, 5]]


def test_only_one_piece_runs_at_any_time():
    running, most = [], []

    def work(ask):
        for _ in range(20):
            running.append(1)
            most.append(len(running))
            running.pop()
            ask(0)

    run_together([work] * 8, lambda needs: dict.fromkeys(range(len(needs)), 0))
    assert max(most) == 1
    assert len(most) == 160


def test_an_error_ends_the_piece_that_raised_it_and_no_other():
    def bad(ask):
        ask(1)
        raise ValueError("spoilt")

    def caught(ask):
        try:
            return ask(-1)
        except LookupError as error:
            return f"told: {error}"

    def serve(needs):
        return {i: LookupError("none") if n < 0 else n for i, n in enumerate(needs)}

    ends = run_together([bad, caught, adder([-1]), adder([4])], serve)
    assert [str(end) for end in ends] == ["spoilt", "told: none", "none", "4"]
    assert isinstance(ends[0], ValueError)
    assert isinstance(ends[2], LookupError)


@pytest.mark.parametrize("failure", [KeyboardInterrupt, RuntimeError])
def test_a_failure_of_what_serves_ends_all_pieces(failure):
    before, unwound = threading.active_count(), []

    def work(ask):
        try:
            ask(1)
        finally:
            unwound.append(True)

    def serve(needs):
        raise failure("served no more")

    with pytest.raises(failure, match="served no more"):
        run_together([work] * 5, serve)
    assert len(unwound) == 5
    assert threading.active_count() == before


def test_an_interrupt_inside_a_piece_ends_the_meeting():
    before = threading.active_count()

    def interrupted(ask):
        ask(1)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_together(
            [adder([1] * 9), interrupted], lambda needs: dict.fromkeys(range(len(needs)), 1)
        )
    assert threading.active_count() == before
