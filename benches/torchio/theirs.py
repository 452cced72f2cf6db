"""Runs torchio_side.py and measures the times of its events and its memory."""

import json
import subprocess
import time
from pathlib import Path

from memory import Watch

SIDE = Path(__file__).with_name("torchio_side.py")


class TorchioError(Exception):
    """The process of TorchIO failed."""


def run(python, command, **options):
    """Returns the seconds from the start of the process to each event, the details of the events, and the peak memory."""
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
