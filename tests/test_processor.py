"""Test the description of the processor."""

import platform
from pathlib import Path

import pytest

from dnn_cli import processor

INTEL = """processor : 0
model name\t: Intel(R) Xeon(R)
cpu MHz\t: 2000.1
flags\t\t: fpu sse sse2 avx512f avx fma sse4_2 avx2 smep

processor : 1
model name\t: Intel(R) Xeon(R)
cpu MHz\t: 2800.7
flags\t\t: fpu sse sse2 avx512f avx fma sse4_2 avx2 smep
"""
ARM = """processor\t: 0
Features\t: fp asimd evtstrm aes sve i8mm bf16
CPU part\t: 0xd40
"""


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (INTEL, "Intel(R) Xeon(R) (avx avx2 avx512f fma sse4_2)"),
        (ARM, "0xd40 (asimd bf16 i8mm sve)"),
        ("model name: Plain\n", "Plain"),
    ],
)
def test_the_kind_is_the_model_and_its_vector_instructions(
    text: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpuinfo").write_text(text)
    monkeypatch.setattr(processor, "CPUINFO", tmp_path / "cpuinfo")
    assert processor.kind() == kind


def test_without_cpuinfo_the_kind_is_what_python_knows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processor, "CPUINFO", tmp_path / "absent")
    monkeypatch.setattr(platform, "processor", lambda: "arm")
    assert (processor.description(), processor.kind()) == ("arm", "arm")
    monkeypatch.setattr(platform, "processor", lambda: "")
    assert processor.kind() == platform.machine()
