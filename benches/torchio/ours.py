"""Runs `runner` and reads off how long it took."""

import re
import subprocess
import tempfile
import time
from dataclasses import dataclass

from memory import Watch


class RunnerError(Exception):
    """The runner has failed."""


@dataclass(frozen=True)
class Run:
    """One call of `runner patches --bench`."""

    first: float  # Seconds until the first patch was there.
    all: float  # Seconds until all were.
    rate: float  # Patches per second after preparing.
    peak: object  # Of its memory.


class Ours:
    """The runner, on one table of subjects and with a number of workers."""

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

    def refusal(self, experiment, subjects, cache):
        """Why `runner check` does not accept an experiment; None where it does."""
        words = [str(self.binary), "check", str(experiment), *self._options(subjects, cache)]
        done = subprocess.run(words, capture_output=True, text=True)
        if done.returncode == 0:
            return None
        return done.stderr.strip().splitlines()[0].strip(" ×")

    def patches(self, experiment, subjects, cache, count):
        """Makes patches and reads off when the first and the last one were there, from the start of the process."""
        words = [str(self.binary), "patches", str(experiment), "--bench", "--count", str(count)]
        words += self._options(subjects, cache)
        with tempfile.TemporaryFile("w+") as errors:
            start = time.monotonic()
            with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=errors, text=True) as process:
                with Watch(process.pid) as watch:
                    printed, at = "", {}
                    for line in process.stdout:
                        printed += line
                        for sign in ("first patch", "patches per second"):
                            if line.startswith(sign):
                                at[sign] = time.monotonic() - start
                    process.wait()
            if process.returncode != 0:
                errors.seek(0)
                raise RunnerError(f"{' '.join(words)}: {errors.read()}")
        rate = float(re.search(r"patches per second +([\d.]+)", printed).group(1))
        return Run(at["first patch"], at["patches per second"], rate, watch.peak)
