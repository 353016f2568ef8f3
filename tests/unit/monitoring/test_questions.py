"""Counting outcomes and reading Evidently's JSON, without running Evidently."""

import pytest

from monitoring.evidently_adapter import read_json
from monitoring.service.questions import counts_of


def test_counts_name_every_status() -> None:
    tests = [{"status": status} for status in ("SUCCESS", "FAIL", "SUCCESS", "ERROR", "WARNING")]
    assert counts_of({"tests": tests}) == {
        "all_passed": False,
        "total_tests": 5,
        "success_tests": 2,
        "failed_tests": 1,
        "by_status": {"SUCCESS": 2, "FAIL": 1, "ERROR": 1, "WARNING": 1},
    }


@pytest.mark.parametrize(("statuses", "passed"), [(["SUCCESS"], True), ([], False)])
def test_all_passed_needs_a_test_that_passed(statuses: list[str], passed: bool) -> None:
    assert counts_of({"tests": [{"status": status} for status in statuses]})["all_passed"] is passed


def test_tokens_that_are_not_json_become_null() -> None:
    text = '{"a": NaN, "b": [Infinity, -Infinity, 1.5]}'
    assert read_json(text) == {"a": None, "b": [None, None, 1.5]}
