"""A recipe that trains nothing, for tests of studies: it takes no time."""

import json
import sys
from pathlib import Path

YAML = """\
seed: 1
partition: 1
network: mult
lr: 0.1
output_folder: results
prepare_only: False
"""
# It waits while there is a gate, fails for some networks, and writes its options.
SCRIPT = """\
import json, os, sys, time
from pathlib import Path

options = dict(word[2:].split("=", 1) for word in sys.argv[2:])
folder = Path(options.pop("output_folder"))
folder.mkdir(parents=True, exist_ok=True)
with open(folder / "started", "a") as file:
    print(options.get("prepare_only", "False"), file=file)
if options.get("prepare_only") == "True":
    for split in ("train", "valid", "test"):
        text = json.dumps({options.get("partition", "1"): split})
        (folder / f"{split}.json").write_text(text)
    report = {"options": {"partition": options.get("partition")}}
    (folder / "prepare_report.json").write_text(json.dumps(report))
    sys.exit()
gate = Path(sys.argv[0]).with_name("gate")
while gate.exists():
    time.sleep(0.01)
if options.get("network") == "killed":
    print("epoch 1: all is well", flush=True)
    os.kill(os.getpid(), 9)
if options.get("network") == "broken":
    sys.exit("error: network: out of order")
metrics = {"complete": True, "options": options}
metrics["threads"] = os.environ.get("OMP_NUM_THREADS")
(folder / "metrics.json").write_text(json.dumps(metrics))
"""


def make_recipe(folder):
    """Writes it; returns the script and the YAML file."""
    script, hparams = folder / "train.py", folder / "hparams.yaml"
    script.write_text(SCRIPT)
    hparams.write_text(YAML)
    return str(script), str(hparams)


def starts_of(cell):
    """Of each start of a cell, whether it was to prepare only."""
    path = cell.run.folder / "started"
    if not path.exists():
        return []
    return path.read_text().split()


def metrics_of(cell):
    """What the script has written."""
    return json.loads(Path(cell.run.metrics_file).read_text())


PYTHON = [sys.executable, "-S"]  # -S: it starts sooner
