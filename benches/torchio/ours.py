"""Runs `runner` and measures its times and memory."""

import re
import subprocess
import tempfile
import time
from dataclasses import dataclass

from memory import Watch


class RunnerError(Exception):
    """`runner` failed."""


@dataclass(frozen=True)
class Run:
    """One call of `runner patches --bench`."""

    first: float  # Seconds until the first patch.
    all: float  # Seconds until the last patch.
    rate: float  # Patches per second after preprocessing.
    peak: object  # Peak memory, in bytes.


class Ours:
    """`runner` with a number of workers."""

    def __init__(self, binary, workers):
        self.binary = binary
        self.workers = workers

    def _options(self, subjects, cache):
        return [
            "--quiet",
            "--cache-dir", str(cache),
            "--set", f"data.source.table.file={subjects}",
            "--set", f"queue.workers={self.workers}",
        ]

    def check_error(self, experiment, subjects, cache):
        """Returns the first error of `runner check`, or None if the experiment is accepted."""
        words = [str(self.binary), "check", str(experiment), *self._options(subjects, cache)]
        done = subprocess.run(words, capture_output=True, text=True)
        if done.returncode == 0:
            return None
        return done.stderr.strip().splitlines()[0].strip(" ×")

    def patches(self, experiment, subjects, cache, count):
        """Makes patches and measures the time of the first and of the last one, from the start of the process."""
        words = [str(self.binary), "patches", str(experiment), "--bench", "--count", str(count)]
        words += self._options(subjects, cache)
        with tempfile.TemporaryFile("w+") as errors:
            start = time.monotonic()
            with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=errors, text=True) as process:
                with Watch(process.pid) as watch:
                    printed, seconds = "", {}
                    for line in process.stdout:
                        printed += line
                        for event in ("first patch", "patches per second"):
                            if line.startswith(event):
                                seconds[event] = time.monotonic() - start
                    process.wait()
            if process.returncode != 0:
                errors.seek(0)
                raise RunnerError(f"{' '.join(words)}: {errors.read()}")
        rate = float(re.search(r"patches per second +([\d.]+)", printed).group(1))
        return Run(seconds["first patch"], seconds["patches per second"], rate, watch.peak)
