"""`python -m tests.bench`: every figure of the project in one run, ours beside the peer's.

Latencies are measured first, while nothing else runs. Exit code 0 only if every bar is met.
"""

import argparse
import json
import re
import sys
import time
from pathlib import Path

from tests.bench.figures import Figure, table
from tests.bench.registry import PARTS


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument(
        "--only",
        metavar="PATTERN",
        help=f"only the parts whose name a regular expression finds: {', '.join(PARTS)}",
    )
    parser.add_argument("--json", type=Path, default=Path("bench.json"), metavar="PATH")
    args = parser.parse_args()
    figures: list[Figure] = []
    for name, measurement in PARTS.items():
        if args.only is not None and not re.search(args.only, name):
            continue
        began_s = time.monotonic()
        print(f"measuring: {name} ...", end=" ", file=sys.stderr, flush=True)
        figures += measurement()
        print(f"{time.monotonic() - began_s:.0f} s", file=sys.stderr)
    print("\n".join(table(figures)))
    rows = ",\n".join(json.dumps(figure.as_json()) for figure in figures)
    args.json.write_text(f"[\n{rows}\n]\n", encoding="utf-8")
    return 0 if figures and all(figure.ok for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
