"""Runs `runner` and reads off how long it took."""

import re
import subprocess
import tempfile
import time

from memory import Watch


class RunnerError(Exception):
    """The runner has failed."""


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
        """Seconds of the whole process, the patches per second that it prints, and its peak memory."""
        words = [str(self.binary), "patches", str(experiment), "--bench", "--count", str(count)]
        words += self._options(subjects, cache)
        with tempfile.TemporaryFile("w+") as errors:
            start = time.monotonic()
            with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=errors, text=True) as process:
                with Watch(process.pid) as watch:
                    printed = process.stdout.read()
                    process.wait()
                    seconds = time.monotonic() - start
            if process.returncode != 0:
                errors.seek(0)
                raise RunnerError(f"{' '.join(words)}: {errors.read()}")
        rate = float(re.search(r"patches per second +([\d.]+)", printed).group(1))
        return seconds, rate, watch.peak
