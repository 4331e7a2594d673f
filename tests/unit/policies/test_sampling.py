"""The share given by --sample."""

import pytest

from kdev.errors import UsageFailure
from kdev.policies.sampling import parse_sample


@pytest.mark.parametrize(
    ("text", "share"),
    [("10%", 0.1), ("0.1", 0.1), ("100%", 1.0), ("1", 1.0), ("0.5%", 0.005), (" 25% ", 0.25), ("33.3%", 0.333)],
)
def test_a_share_is_a_percentage_or_a_number(text: str, share: float) -> None:
    """Both ways to write it mean the same."""
    assert parse_sample(text) == pytest.approx(share)


@pytest.mark.parametrize("text", ["", "0", "0%", "101%", "1.1", "-1", "nan", "inf", "1e-1", "ten", "10 %", "%", "٣%"])
def test_what_is_no_share_is_refused(text: str) -> None:
    """Nothing, more than everything, and what is no number."""
    with pytest.raises(UsageFailure, match="not a share"):
        parse_sample(text)


def test_a_forgotten_percent_sign_is_suggested() -> None:
    """Ten requests out of one cannot be meant."""
    with pytest.raises(UsageFailure) as failure:
        parse_sample("10")
    assert "--sample 10%" in failure.value.explanation.advice
