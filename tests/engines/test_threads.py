"""The threads that compute get a processor each, and only those, and only where nobody chose otherwise."""

import hashlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from dnn_cli.engines import threads

linux = pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="only Linux lets threads be bound")
CONTENT = bytes(2**22)


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """As many threads as there are processors; they compute between the two steps of a test, and then wait."""
    monkeypatch.delenv("TF_NUM_INTRAOP_THREADS", raising=False)
    end, started, found = threading.Event(), threading.Semaphore(0), list[int]()

    def work() -> None:
        found.append(threading.get_native_id())
        started.release()
        while not end.is_set():
            hashlib.sha256(CONTENT).digest()

    running = [threading.Thread(target=work) for _ in os.sched_getaffinity(0)]
    for one in running:
        one.start()
    for _ in running:
        started.acquire()
    yield found
    end.set()
    for one in running:
        one.join()


def compute_until_told(workers: list[int], before: dict[int, int]) -> None:
    while any(threads.used()[worker] < before.get(worker, 0) + 2 * 10**7 for worker in workers):
        pass


@linux
def test_each_that_computes_gets_a_processor_of_its_own(workers: list[int]) -> None:
    everywhere = os.sched_getaffinity(0)
    before = threads.used()
    assert set(workers) <= before.keys()
    hidden = {thread: count for thread, count in before.items() if thread in workers}
    compute_until_told(workers, hidden)
    now = threads.used()
    threads.spread({thread: before[thread] if thread in workers else count for thread, count in now.items()})
    assert sorted(min(os.sched_getaffinity(worker)) for worker in workers) == sorted(everywhere)
    assert {len(os.sched_getaffinity(worker)) for worker in workers} == {1}
    assert os.sched_getaffinity(0) == everywhere


@linux
@pytest.mark.parametrize("limited", [True, False])
def test_where_the_user_chose_or_nothing_is_known_all_is_left(
    limited: bool, workers: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    if limited:
        monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "1")
    threads.spread(threads.used() if limited else {})
    assert all(os.sched_getaffinity(worker) == os.sched_getaffinity(0) for worker in workers)


def test_without_linux_nothing_is_known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(threads, "TASKS", tmp_path / "absent")
    assert threads.used() == {}
    threads.spread(threads.used())
