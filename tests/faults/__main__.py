"""`python tests/faults --seconds 60 --seed 7`: the fault run. Exits with 0 only if every invariant holds."""

from __future__ import annotations

import argparse
import secrets
import sys
from pathlib import Path

from fault_report import as_json, as_text, heading
from fault_run import TOPOLOGIES, orders_of, run


def main() -> int:
    """Run as the command line says."""
    parser = argparse.ArgumentParser(prog="python tests/faults", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long faults are injected")
    parser.add_argument("--seed", type=int, default=None, help="the schedule of faults; random without it")
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--staleness", type=float, default=0.0, help="the workers' max_staleness, seconds")
    parser.add_argument("--topology", choices=TOPOLOGIES, default="both")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of lines")
    parser.add_argument("--keep", metavar="FOLDER", help="keep all books in this folder")
    parser.add_argument("--verbose", action="store_true", help="tell each fault on stderr as it begins")
    arguments = parser.parse_args()
    seed = secrets.randbelow(1_000_000) if arguments.seed is None else arguments.seed
    run_of = (arguments.seconds, seed, arguments.workers, arguments.topology, arguments.staleness)
    orders = orders_of(*run_of)
    out = sys.stderr if arguments.json else sys.stdout
    print(heading(*run_of), file=out, flush=True)
    results = []
    for order in orders:
        folder = Path(arguments.keep) / order.topology if arguments.keep else None
        results.append(run(order, folder, verbose=arguments.verbose))
        if not arguments.json:
            print(as_text(results[-1]), flush=True)
    if arguments.json:
        print(as_json(results))
    return 0 if all(result.holds for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
