"""Measures the load of other processes, which disturbs measurements."""

import os
import resource
import time
from pathlib import Path

# The machine is quiet if other processes use less than this fraction of all cores.
QUIET = 0.05
# A measurement is repeated if other processes use this fraction of all cores or more.
DISTURBING = 0.1
INTERVAL_SECONDS = 2


def busy_seconds():
    """Returns the busy time of all cores since the machine started, including time stolen by the hypervisor."""
    ticks = [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    idle, waiting = ticks[3], ticks[4]
    return (sum(ticks) - idle - waiting) / os.sysconf("SC_CLK_TCK")


def own_seconds():
    """Returns the CPU time of this process and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


class Others:
    """A context manager that measures `load`, the fraction of all cores that other processes use."""

    def __enter__(self):
        self.load = 0.0
        self._start = time.monotonic(), busy_seconds(), own_seconds()
        return self

    def __exit__(self, *_error):
        elapsed, busy, own = (
            now - then for now, then in zip((time.monotonic(), busy_seconds(), own_seconds()), self._start)
        )
        self.load = max(0.0, busy - own) / (elapsed * os.cpu_count())


def wait_for_quiet(seconds):
    """Waits until other processes are quiet, at most the given seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with Others() as others:
            time.sleep(INTERVAL_SECONDS)
        if others.load < QUIET:
            return
