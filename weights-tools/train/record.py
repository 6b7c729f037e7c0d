"""Gather the runs' records into one file: `python -m train.record LOGS OUT.json`."""

import json
import sys
from pathlib import Path


def main():
    runs = []
    for path in sorted(Path(sys.argv[1]).glob("*.json")):
        record = json.loads(path.read_text())
        for noise in ("load", "out"):
            record.get("args", {}).pop(noise, None)
        runs.append({"run": path.stem, **record})
    Path(sys.argv[2]).write_text(json.dumps(runs, indent=1) + "\n")


if __name__ == "__main__":
    main()
