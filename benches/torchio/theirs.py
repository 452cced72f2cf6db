"""Runs torchio_side.py and reads off when what happened."""

import json
import subprocess
import time
from pathlib import Path

from memory import Watch

SIDE = Path(__file__).with_name("torchio_side.py")


class TorchioError(Exception):
    """TorchIO's process has failed."""


def run(python, command, **options):
    """Seconds from the start of the process to each of its events, their details, and the peak memory."""
    words = [str(python), str(SIDE), command]
    for name, value in options.items():
        words += [f"--{name}", str(value)]
    seconds, details = {}, {}
    start = time.monotonic()
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process, Watch(process.pid) as watch:
        for line in process.stdout:
            event = json.loads(line)
            seconds[event.pop("event")] = event.pop("time") - start
            details.update(event)
    if process.returncode != 0:
        raise TorchioError(f"{' '.join(words)} ended with exit code {process.returncode}")
    return seconds, details, watch.peak
