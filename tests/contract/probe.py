"""A training script that writes down what it finds around it, as JSON into its model folder. It knows no vizsla.

`fail` among its hyperparameters says how it ends: by an exception, with exit code 3, or after it has written a failure
file of its own.
"""

import json
import os
import sys
from pathlib import Path


def tree(folder: Path) -> list[str]:
    """Every file and folder below `folder`, links followed, folders with a slash at the end."""
    found: list[str] = []
    for place, folders, files in os.walk(folder, followlinks=True):
        found += [f"{os.path.relpath(place, folder)}/{name}/" for name in folders]
        found += [f"{os.path.relpath(place, folder)}/{name}" for name in files]
    return sorted(found)


def main() -> None:
    base = Path(os.environ["SM_MODEL_DIR"]).parent
    found = {
        "environment": dict(os.environ),
        "arguments": sys.argv,
        "folder": str(Path.cwd()),
        "config": {file.name: json.loads(file.read_text()) for file in (base / "input" / "config").iterdir()},
        "trees": {name: tree(base / name) for name in ("code", "input", "model", "output")},
    }
    Path(os.environ["SM_MODEL_DIR"], "found.json").write_text(json.dumps(found))
    how = os.environ.get("SM_HP_FAIL")
    if how == "exception":
        raise RuntimeError("the third photo ate the gradient")
    if how == "exit":
        sys.exit(3)
    if how == "own":
        Path(os.environ["SM_OUTPUT_DIR"], "failure").write_text("the data are too few")
        sys.exit(4)


if __name__ == "__main__":
    main()
