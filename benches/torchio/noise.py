"""How busy other processes keep the machine, which no measurement likes."""

import os
import resource
import time
from pathlib import Path

# Below this share of all cores, the machine counts as quiet.
QUIET = 0.05
# From this share on, a measurement is made again.
DISTURBING = 0.1
LOOK_SECONDS = 2


def busy_seconds():
    """Seconds that all cores together have spent on anything since the machine started, or had taken from them."""
    ticks = [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    idle, waiting = ticks[3], ticks[4]
    return (sum(ticks) - idle - waiting) / os.sysconf("SC_CLK_TCK")


def own_seconds():
    """Seconds of this process and of those that it started and that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


class Others:
    """The share of all cores that others use while it is open."""

    def __enter__(self):
        self.share = 0.0
        self._start = time.monotonic(), busy_seconds(), own_seconds()
        return self

    def __exit__(self, *_error):
        elapsed, busy, own = (
            now - then for now, then in zip((time.monotonic(), busy_seconds(), own_seconds()), self._start)
        )
        self.share = max(0.0, busy - own) / (elapsed * os.cpu_count())


def wait_for_quiet(seconds):
    """Waits until others leave the machine alone, but not longer than this."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with Others() as others:
            time.sleep(LOOK_SECONDS)
        if others.share < QUIET:
            return
