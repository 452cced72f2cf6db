"""Measures the peak memory of a process and its children, from /proc, while they run."""

import threading
import time
from pathlib import Path

# Summing the pages of a large process takes milliseconds, so `Watch` may use longer intervals.
INTERVAL_SECONDS = 0.05
FIELDS = ("Rss", "Pss", "Pss_File")


def tree(pid):
    """Returns the ids of a process and of all its descendants."""
    pids = [pid]
    for listing in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in listing.read_text().split():
            pids += tree(int(child))
    return pids


def process_memory(pid):
    """Returns the bytes of one process: RSS, PSS, and the PSS of mapped files."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    values = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines}
    return {field: values.get(field, 0) for field in FIELDS}


def tree_memory(pid):
    """Returns the bytes of a process and its descendants together, without processes that have just ended."""
    total = dict.fromkeys(FIELDS, 0)
    try:
        pids = tree(pid)
    except OSError:
        return total
    for member in pids:
        try:
            for field, value in process_memory(member).items():
                total[field] += value
        except OSError:
            continue
    return total


class Watch:
    """A context manager that samples memory; `peak` has the largest `rss`, `pss` and `pss_without_files` in bytes."""

    def __init__(self, pid):
        self.peak = {"rss": 0, "pss": 0, "pss_without_files": 0}
        self._pid = pid
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_error):
        self._over.set()
        self._thread.join()

    def _follow(self):
        while not self._over.is_set():
            start = time.monotonic()
            self._update_peak(tree_memory(self._pid))
            # Sampling uses at most a fiftieth of one core.
            self._over.wait(max(INTERVAL_SECONDS, 50 * (time.monotonic() - start)))

    def _update_peak(self, now):
        values = {"rss": now["Rss"], "pss": now["Pss"], "pss_without_files": now["Pss"] - now["Pss_File"]}
        for name, value in values.items():
            self.peak[name] = max(self.peak[name], value)
