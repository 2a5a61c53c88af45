"""A trainer that finds the labels of each training picture in turn on the test pictures; run as a command."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path


def main(train: str, val: str, iters: str, out: str, seed: str, *rest: str) -> None:
    if rest and rest[0] == "fail":
        sys.exit("no GPU today")
    if rest and rest[0].startswith("sleep"):
        time.sleep(float(rest[0][5:]))
    known = json.loads((Path(train) / "instances.json").read_text())
    asked = json.loads((Path(val) / "instances.json").read_text())
    pictures = [image["id"] for image in known["images"]]
    found = []
    for place, image in enumerate(asked["images"]):
        like = pictures[(place + int(seed)) % len(pictures)]
        for label in known["annotations"]:
            if label["image_id"] == like and not label.get("iscrowd"):
                row = {"image_id": image["id"], "category_id": label["category_id"], "bbox": label["bbox"]}
                found.append({**row, "segmentation": label["segmentation"], "score": 0.5})
    Path(out, "results.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
