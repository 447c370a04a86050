"""Test the cache of compiled programs: only undamaged programs are reused, and they do not change the weights."""

import errno
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import tensorflow as tf

from dnn_cli.engines.keras import xla_cache
from dnn_cli.engines.keras.xla_cache import MEMORY, PROGRAM
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
    monkeypatch.setattr(xla_cache, "_told", set())
    xla_cache.use_wide_vectors()  # as the import of TensorFlow does before it looks for the folder
    return xla_cache._folder()


def compile_with(*made: str, warnings: list[str] | None = None) -> set[str]:
    """Compile the programs `made`, as TensorFlow does; return the programs that it was given."""
    xla_cache.prepare()
    with xla_cache.programs((warnings if warnings is not None else []).append):
        given = set(tf.io.gfile.listdir(MEMORY)) if tf.io.gfile.exists(MEMORY) else set()
        for name in made if tf.io.gfile.exists(MEMORY) else ():
            with tf.io.gfile.GFile(f"{MEMORY}/{name}{PROGRAM}", "wb") as file:
                file.write(name.encode() * 5)
    assert not tf.io.gfile.exists(MEMORY)
    return {name.removesuffix(PROGRAM) for name in given}


def files(folder: Path) -> dict[str, Path]:
    return {path.name.split("__")[0]: path for path in folder.iterdir()}


@pytest.mark.slow
def test_a_second_start_reuses_programs_and_trains_the_same_bits(cache: Path, process: Process) -> None:
    def train(folder: str, **environment: str) -> None:
        answer = process("train", "-c", "smoke", "--epochs", 2, "--run-dir", folder, "-q", **environment)
        assert (answer.code, answer.stderr) == (0, "")

    train("without", DNN_XLA_CACHE="0")
    assert not cache.exists()
    train("first")
    (program,) = cache.iterdir()
    made, content = program.stat().st_mtime_ns, program.read_bytes()
    train("second")
    assert [path.stat().st_mtime_ns for path in cache.iterdir()] == [made]
    for damaged in (content[:1000], content[:-9000] + bytes(4000) + content[-5000:], b""):
        program.write_bytes(damaged)
        train(f"after-{len(damaged)}")
        (program,) = cache.iterdir()  # the digest in its name changes if its bytes do
        assert program.read_bytes() != damaged
    for other in ("first", "second", "after-1000", f"after-{len(content)}", "after-0"):
        assert_same_bits(Path("without/checkpoints/last.keras"), Path(other, "checkpoints/last.keras"))


def test_programs_are_given_to_later_compilations(cache: Path) -> None:
    assert compile_with("one") == set()
    assert compile_with("two") == {"one"}
    assert compile_with() == {"one", "two"}
    assert {path.stat().st_mode & 0o777 for path in (cache, cache.parent)} == {0o700}


def test_damaged_and_foreign_files_are_deleted_and_never_used(cache: Path, tmp_path: Path) -> None:
    compile_with("whole", "damaged", "open", "link")
    whole, damaged = files(cache)["whole"], files(cache)["damaged"]
    damaged.write_bytes(b"evil")
    files(cache)["open"].chmod(0o666)
    link = files(cache)["link"]
    link.replace(tmp_path / "elsewhere")
    link.symlink_to("/dev/zero")
    (cache / f"folder{PROGRAM}.0").mkdir()
    (cache / f"empty{PROGRAM}.{hashlib.sha256().hexdigest()}").write_bytes(b"")
    (cache / f"unrecorded{PROGRAM}").write_bytes(b"?")
    (cache / f"x{PROGRAM}host-1.tmp").write_bytes(b"an interrupted write")
    (cache / "manifest.json").write_text("{}")
    (cache / f"x__XLA_GPU_JIT.pb.{hashlib.sha256(b'gpu').hexdigest()}").write_bytes(b"gpu")
    os.mkfifo(cache / f"pipe{PROGRAM}.0")
    assert compile_with() == {"whole"}
    assert set(cache.iterdir()) - {cache / f"folder{PROGRAM}.0"} == {whole}


def test_the_oldest_files_are_deleted_if_those_of_all_folders_are_too_large(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(xla_cache, "MAX_BYTES", 25)
    compile_with("a", "b")
    other = cache.with_name("0" * 16)
    other.mkdir()
    (other / f"of-an-older-version{PROGRAM}.tmp").write_bytes(bytes(20))
    (cache.parent / "notes").mkdir()
    (cache.parent / "notes" / "mine.txt").write_bytes(bytes(100))  # a folder of the user with a file that is not ours
    for age, path in enumerate((*files(cache).values(), *other.iterdir())):
        os.utime(path, ns=(0, 10**18 - age))
    compile_with("c")
    assert set(files(cache)) == {"a", "b", "c"}
    assert list(other.iterdir()) == []
    compile_with("d", "e", "f")
    assert len(files(cache)) == 5
    assert (cache.parent / "notes" / "mine.txt").exists()


def test_flags_of_the_user_are_kept(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_XLA_FLAGS", "--tf_xla_clustering_debug")
    for _ in range(2):
        xla_cache.prepare()
        assert os.environ["TF_XLA_FLAGS"] == f"--tf_xla_clustering_debug {xla_cache.FOLDER_FLAG}={MEMORY}"
    monkeypatch.setenv("TF_XLA_FLAGS", f"{xla_cache.FOLDER_FLAG}=/mine")
    assert compile_with() == set()
    assert os.environ["TF_XLA_FLAGS"] == f"{xla_cache.FOLDER_FLAG}=/mine"
    assert not cache.exists()


def test_a_disabled_cache_changes_nothing(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DNN_XLA_CACHE", "0")
    assert compile_with() == set()
    monkeypatch.setenv("DNN_XLA_CACHE", str(cache.parent))
    monkeypatch.setattr(xla_cache, "TESTED", "1.0.")
    assert compile_with() == set()
    assert "TF_XLA_FLAGS" not in os.environ
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_changes_nothing(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    warnings: list[str] = []
    with monkeypatch.context() as disk:
        disk.setattr(xla_cache, "write_atomically", fail)
        compile_with("one", warnings=warnings)
        assert list(cache.iterdir()) == []
    cache.parent.rename(tmp_path / "away")
    cache.parent.write_text("a file is in the way")
    compile_with("one", warnings=warnings)
    assert warnings == []


def test_a_folder_that_others_can_write_is_not_used_and_the_user_is_told_once(cache: Path, tmp_path: Path) -> None:
    def exposed(reason: str) -> None:
        warnings: list[str] = []
        for _ in range(2):
            assert compile_with("evil", warnings=warnings) == set()
        assert warnings == [
            f"compiled programs are not kept, because others could replace them: {reason}; "
            "close it to others, or set DNN_XLA_CACHE to another folder, or to 0"
        ]

    compile_with("planted")
    for place, mode in ((cache, 0o770), (cache.parent, 0o702), (cache, 0o1777), (tmp_path, 0o777)):
        before = place.stat().st_mode
        place.chmod(mode)
        xla_cache._told.clear()
        exposed(f"{place} can be written by others")
        place.chmod(before)
    tmp_path.chmod(0o1777)  # like /tmp: nobody but us can rename our folder in it
    assert compile_with() == {"planted"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_folder_or_program_of_another_user_is_not_used(cache: Path) -> None:
    compile_with("planted", "ours")
    warnings: list[str] = []
    os.chown(cache.parent, 12345, -1)
    assert compile_with(warnings=warnings) == set()
    assert warnings[0].startswith(
        f"compiled programs are not kept, because others could replace them: {cache.parent} belongs to another user; "
    )
    os.chown(cache.parent, 0, -1)
    os.chown(files(cache)["planted"], 12345, -1)
    assert compile_with() == {"ours"}


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
    assert len(list(cache.iterdir())) == 1
    for epochs in (3, 4):  # operations of a network from a file have other names, so it compiles another program
        assert process("train", "--resume", "run", "--epochs", epochs, "-q").code == 0
        assert len(list(cache.iterdir())) == 2
    assert process("evaluate", "run").code == 0
    assert len(list(cache.iterdir())) == 2
