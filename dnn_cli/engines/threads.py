"""Keeping the threads that compute apart: a processor of its own for each.

Two threads that take turns every few microseconds look to Linux as if one processor were enough for both, and it may
leave them on one for minutes while another is idle; an epoch then takes more than twice as long.
"""

import os
from collections.abc import Mapping
from heapq import nlargest
from pathlib import Path

TASKS = Path("/proc/self/task")


def used() -> dict[int, int]:
    """What each thread of this process has computed so far, in nanoseconds; empty where Linux does not tell."""
    found = {}
    for task in TASKS.glob("*/schedstat"):
        try:
            found[int(task.parent.name)] = int(task.read_text().split()[0])
        except (OSError, ValueError, IndexError):
            continue  # the thread has ended meanwhile
    return found


def spread(before: Mapping[int, int]) -> None:
    """Bind the threads that have computed most since `before`, as many as there are processors, to one each.

    Where the user has limited the threads, or Linux does not tell them apart, they are left as they are: several
    processes of few threads each may share the processors, and only the system knows how.
    """
    if not before or os.environ.get("TF_NUM_INTRAOP_THREADS"):
        return
    processors = sorted(os.sched_getaffinity(0))
    since = {thread: nanoseconds - before.get(thread, 0) for thread, nanoseconds in used().items()}
    busiest = nlargest(len(processors), since, key=lambda thread: since[thread])
    for processor, thread in zip(processors, busiest, strict=False):
        try:
            os.sched_setaffinity(thread, {processor})
        except OSError:
            return  # the system does not allow it
