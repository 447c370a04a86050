"""Test the cache of compiled programs: only undamaged programs are reused, and they do not change the weights."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from dnn_cli.engines.keras import xla_cache
from tests.conftest import Answer, assert_same_bits

Process = Callable[..., Answer]


@pytest.fixture(autouse=True)
def _flags(monkeypatch: pytest.MonkeyPatch) -> None:
    """Restore the flags after each test, also those that were not set before it."""
    for name in ("XLA_FLAGS", "TF_XLA_FLAGS"):
        monkeypatch.setenv(name, os.environ.get(name, ""))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DNN_XLA_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("TF_XLA_FLAGS", raising=False)
    monkeypatch.setenv("XLA_FLAGS", os.environ.get("XLA_FLAGS", ""))
    xla_cache.use_wide_vectors()  # as the import of TensorFlow does before it looks for the folder
    folder = xla_cache._folder()
    assert folder
    return folder


def put(folder: Path, name: str, content: bytes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}__XLA_CPU_JIT.pb"
    path.write_bytes(content)
    return path


def names(folder: Path) -> set[str]:
    return {path.name.split("__")[0] for path in folder.glob("*.pb")}


@pytest.mark.slow
def test_a_second_start_reuses_programs_and_trains_the_same_bits(cache: Path, process: Process) -> None:
    def train(folder: str, **environment: str) -> None:
        answer = process("train", "-c", "smoke", "--epochs", 2, "--run-dir", folder, "-q", **environment)
        assert (answer.code, answer.stderr) == (0, "")

    train("without", DNN_XLA_CACHE="0")
    assert not cache.exists()
    train("first")
    (program,) = cache.glob("*.pb")
    made, content = program.stat().st_mtime_ns, program.read_bytes()
    train("second")
    assert [path.stat().st_mtime_ns for path in cache.glob("*.pb")] == [made]
    for damaged in (content[:1000], content[:-9000] + bytes(4000) + content[-5000:], b""):
        program.write_bytes(damaged)
        train(f"after-{len(damaged)}")
        assert program.read_bytes() != damaged
    for other in ("first", "second", "after-1000", f"after-{len(content)}", "after-0"):
        assert_same_bits(Path("without/checkpoints/last.keras"), Path(other, "checkpoints/last.keras"))


def test_only_recorded_undamaged_programs_are_kept(cache: Path) -> None:
    whole, damaged = put(cache, "whole", b"whole"), put(cache, "damaged", b"whole")
    xla_cache.record_cache()
    damaged.write_bytes(b"hole")
    put(cache, "unrecorded", b"?")
    (cache / "x__XLA_GPU_JIT.pb").write_bytes(b"gpu")
    xla_cache.prepare()
    assert list(cache.glob("*.pb")) == [whole]
    assert os.environ["TF_XLA_FLAGS"] == f"--tf_xla_persistent_cache_directory={cache}"


@pytest.mark.parametrize("text", ["", "{", "[]", "3"])
def test_a_damaged_manifest_removes_all_programs(cache: Path, text: str) -> None:
    put(cache, "whole", b"whole")
    (cache / "manifest.json").write_text(text)
    xla_cache.prepare()
    assert names(cache) == set()


def test_a_program_that_changed_after_it_was_recorded_is_removed(cache: Path) -> None:
    path = put(cache, "one", b"good")
    xla_cache.record_cache()
    path.write_bytes(b"evil")
    xla_cache.record_cache()
    xla_cache.prepare()
    assert names(cache) == set()


def test_the_oldest_programs_are_deleted_if_the_cache_is_too_large(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(xla_cache, "MAX_BYTES", 25)
    for age, name in enumerate(("new", "middle", "old")):
        os.utime(put(cache, name, bytes(10)), ns=(0, 10**9 * (10 - age)))
    xla_cache.record_cache()
    assert names(cache) == {"new", "middle"}
    assert len(json.loads((cache / "manifest.json").read_text())) == 2


def test_flags_of_the_user_are_kept(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_XLA_FLAGS", "--tf_xla_clustering_debug")
    xla_cache.prepare()
    assert os.environ["TF_XLA_FLAGS"] == (f"--tf_xla_clustering_debug --tf_xla_persistent_cache_directory={cache}")


def test_a_disabled_cache_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TF_XLA_FLAGS", raising=False)
    file = tmp_path / "file"
    file.write_text("")
    for chosen in ("0", "with space", str(file)):
        monkeypatch.setenv("DNN_XLA_CACHE", chosen)
        xla_cache.prepare()
        xla_cache.record_cache()
    monkeypatch.setattr(xla_cache, "TESTED", "1.0.")
    monkeypatch.setenv("DNN_XLA_CACHE", "cache")
    xla_cache.prepare()
    assert "TF_XLA_FLAGS" not in os.environ
    assert list(tmp_path.iterdir()) == [file]


def test_each_combination_of_versions_processor_and_flags_has_its_own_folder(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dnn_cli.processor.description", lambda: "another")
    other = xla_cache._folder()
    assert other
    assert other != cache
    with monkeypatch.context() as flags:
        flags.setenv("XLA_FLAGS", "--xla_cpu_x")
        assert xla_cache._folder() not in (cache, other)
    monkeypatch.setattr("dnn_cli.engines.keras.xla_cache.metadata.version", lambda _: "2.21.9")
    assert xla_cache._folder() not in (cache, other)
    monkeypatch.setenv("DNN_XLA_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    found = xla_cache._folder()
    assert found
    assert found.parent == Path("/caches/dnn/xla")


@pytest.mark.parametrize(
    ("processor", "already", "flags"),
    [
        ("avx512f avx512_bf16", None, "--xla_cpu_prefer_vector_width=512"),
        ("avx512f avx512_bf16", "--xla_cpu_x", "--xla_cpu_x --xla_cpu_prefer_vector_width=512"),
        ("avx512f avx512_bf16", "--xla_cpu_prefer_vector_width=128", "--xla_cpu_prefer_vector_width=128"),
        ("avx512f", None, None),
        ("avx2", "--xla_cpu_x", "--xla_cpu_x"),
    ],
)
def test_the_vector_width_follows_the_processor_unless_the_user_sets_it(
    processor: str, already: str | None, flags: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dnn_cli.processor.description", lambda: processor)
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    if already:
        monkeypatch.setenv("XLA_FLAGS", already)
    for _ in range(2):
        xla_cache.use_wide_vectors()
        assert os.environ.get("XLA_FLAGS") == flags


def test_other_versions_of_tensorflow_get_no_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xla_cache, "TESTED", "1.0.")
    monkeypatch.setattr("dnn_cli.processor.description", lambda: "avx512_bf16")
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    xla_cache.use_wide_vectors()
    assert "XLA_FLAGS" not in os.environ


@pytest.mark.slow
def test_a_training_compiles_one_program_for_any_batches_and_hold_out(cache: Path, process: Process) -> None:
    ragged = ("--set", "data.validation=333", "--set", "training.batch_size=50")
    assert process("train", "-c", "smoke", "--epochs", 2, "--run-dir", "run", "-q", *ragged).code == 0
    assert len(list(cache.glob("*.pb"))) == 1
    for epochs in (3, 4):  # operations of a network from a file have other names, so it compiles another program
        assert process("train", "--resume", "run", "--epochs", epochs, "-q").code == 0
        assert len(list(cache.glob("*.pb"))) == 2
    assert process("evaluate", "run").code == 0
    assert len(list(cache.glob("*.pb"))) == 2
