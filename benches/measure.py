"""What the comparisons with PyTorch and MONAI share: running both sides, and keeping what was measured."""

import json
import os
import platform
import subprocess
from datetime import date
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def output(command, **more):
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT, **more).stdout


def built_bench(features, name):
    """The path of a bench; cargo builds it where it has changed."""
    command = ["cargo", "bench", "--no-run", "--bench", name, "--message-format", "json"]
    lines = output(command + (["--features", features] if features else [])).splitlines()
    messages = [json.loads(line) for line in lines]
    made = [m["executable"] for m in messages if m.get("target", {}).get("name") == name and m.get("executable")]
    return made[-1]


def last_json(text):
    return json.loads(text.strip().splitlines()[-1])


def processor():
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []:
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def keep(path, **results):
    """Writes results with what they were measured on."""
    facts = dict(date=str(date.today()), commit=output(["git", "rev-parse", "HEAD"]).strip(), cpu=processor(),
                 cores=os.cpu_count())
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(facts | results, indent=1) + "\n")
    print(path)
