"""A run of `evfr.embed` with a slow model, to be killed: ``python embed_driver.py CLIPS STORE SECONDS``."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import evfr
from helpers.fake_model import FakeModel


def main() -> None:
    model = FakeModel(seconds_per_batch=float(sys.argv[3]), batch_size=8)
    result = evfr.embed(sys.argv[1], model=model, out=sys.argv[2], jobs=2)
    print("cached", sum(video.is_cached for video in result.videos), "pictures", sum(model.batches))


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
