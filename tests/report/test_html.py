"""How pages say numbers."""

import pytest

from dnn_cli.report import html


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.0, "0.0 %"), (1.0, "100.0 %"), (0.0004, "< 0.1 %"), (0.9996, "> 99.9 %"), (0.5, "50.0 %"), (0.999, "99.9 %")],
)
def test_only_nothing_is_nothing_and_only_all_is_all(share: float, text: str) -> None:
    assert html.percent(share) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(1.25, "1.2 s"), (119, "119.0 s"), (600, "10 min"), (9000, "2 h 30 min")]
)
def test_durations(seconds: float, text: str) -> None:
    assert html.duration(seconds) == text


def test_what_there_is_not() -> None:
    assert (html.share(None), html.share(0.98765)) == ("–", "0.9877")
