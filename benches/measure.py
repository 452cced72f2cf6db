"""Functions shared by the comparisons with PyTorch and MONAI: run both programs and write the results."""

import json
import os
import platform
import subprocess
from datetime import date
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def output(command, **more):
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT, **more).stdout


def built_bench(features, name, package="runner"):
    """Builds a bench and returns the path of its executable."""
    command = ["cargo", "bench", "--no-run", "-p", package, "--bench", name, "--message-format", "json"]
    lines = output(command + (["--features", features] if features else [])).splitlines()
    messages = [json.loads(line) for line in lines]
    executables = [m["executable"] for m in messages if m.get("target", {}).get("name") == name and m.get("executable")]
    return executables[-1]


def last_json(text):
    return json.loads(text.strip().splitlines()[-1])


def processor():
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []:
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def keep(path, **results):
    """Writes results with the date, commit and hardware."""
    facts = dict(date=str(date.today()), commit=output(["git", "rev-parse", "HEAD"]).strip(), cpu=processor(),
                 cores=os.cpu_count())
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(facts | results, indent=1) + "\n")
    print(path)
