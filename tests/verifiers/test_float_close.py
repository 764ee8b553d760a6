"""float_close: a float is only near the truth, but a whole number of few digits is exact."""

import pytest

from verifiers.float_close import float_close, own_answer


@pytest.mark.parametrize(("answer", "reference", "status"), [
    ("110/3", "36.666666666666664", "correct"),
    ("36.666666666666664", "36.666666666666664", "correct"),
    ("36.67", "36.666666666666664", "correct"),
    ("36.6", "36.666666666666664", "wrong"),
    ("37", "36.666666666666664", "wrong"),
    ("145", "145.0", "correct"),
    ("23067001", "23067000.0", "wrong"),
    ("-9867630", "-9867630.0", "correct"),
    ("9867630", "-9867630.0", "wrong"),
    ("12345678901234567890123", "1.2345678901234568e+22", "correct"),
    ("1.2345678901234568e22", "1.2345678901234568e+22", "correct"),
    ("12345678901334567890123", "1.2345678901234568e+22", "wrong"),
    ("12,345,678,901,234,567,890,123", "1.2345678901234568e+22", "correct"),
    ("2/3", "0.6666666666666666", "correct"),
    ("0.00012345678", "0.00012345678", "correct"),
    ("1/8100", "0.0001234567901234568", "correct"),
    ("$1234.5$", "1234.5", "correct"),
])
def test_a_float_takes_what_it_may_stand_for(answer: str, reference: str, status: str) -> None:
    assert float_close(f"So it is \\boxed{{{answer}}}.", reference).status == status


def test_what_is_no_number_is_undecided_or_wrong_and_never_a_crash() -> None:
    assert float_close("I do not know.", "1.5").status == "undecided"
    assert float_close("\\boxed{3}", "three").status == "undecided"
    assert float_close("\\boxed{1/0}", "1.5").status != "correct"
    assert float_close("\\boxed{9^{9^{9^9}}}", "1e+300").status != "correct"


@pytest.mark.parametrize("reference", ["145.0", "36.666666666666664", "1.2345678901234568e+22", "-0.5", "0.0012"])
def test_a_reference_passes_its_own_verifier(reference: str) -> None:
    assert float_close(own_answer(reference), reference).status == "correct"


def test_a_reference_that_is_no_float_has_no_own_answer() -> None:
    with pytest.raises(ValueError, match="is no float"):
        own_answer("abc")
