"""Describes the machine and the versions that were measured."""

import os
import platform
import subprocess
from pathlib import Path


def cpu_model():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def memory_gib():
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def git_commit(root):
    """Returns the commit of the working tree, and whether tracked files have changes."""
    def git(*words):
        return subprocess.run(["git", *words], cwd=root, capture_output=True, text=True).stdout.strip()

    commit = git("rev-parse", "--short", "HEAD")
    return f"{commit} with changes" if git("status", "--porcelain", "--untracked-files=no") else commit


def description(root, runner):
    version = subprocess.run([runner, "--version"], capture_output=True, text=True).stdout.splitlines()[0]
    return {
        "CPU": cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "memory": f"{memory_gib():.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "runner": version,
        "working tree": git_commit(root),
    }
