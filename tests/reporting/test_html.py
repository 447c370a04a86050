"""Test how pages format numbers."""

import pytest

from dnn_cli.reporting import html


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.0, "0.0 %"), (1.0, "100.0 %"), (0.0004, "< 0.1 %"), (0.9996, "> 99.9 %"), (0.5, "50.0 %"), (0.999, "99.9 %")],
)
def test_only_exact_zero_and_one_are_rounded_to_them(share: float, text: str) -> None:
    assert html.percent(share) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(1.25, "1.2 s"), (119, "119.0 s"), (600, "10 min"), (9000, "2 h 30 min")]
)
def test_durations(seconds: float, text: str) -> None:
    assert html.duration(seconds) == text


def test_a_missing_number_is_a_dash() -> None:
    assert (html.share(None), html.share(0.98765)) == ("–", "0.9877")
    assert (html.decimals(None), html.decimals(-1.005)) == ("–", "-1.00")
