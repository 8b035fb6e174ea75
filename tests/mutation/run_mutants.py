"""`make mutants ARGS="--sample 100 --seed 7"`: small faults in the rules, and whether tests notice."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from mutant_hunt import QUICK_SET, Hunt
from mutants import Mutant, mutants_of

ROOT = Path(__file__).parents[2]
MUTATED = (
    "lua/*.lua",
    *(
        f"src/sharedbreaker/circuit/{name}.py"
        for name in ("rules", "trip_rules", "windows", "circuit_record", "settings", "tuning")
    ),
)


def chosen(mutants: Sequence[Mutant], sample: int | None, seed: int) -> list[Mutant]:
    """Return as many of the mutants as asked for, in their order; the same ones for the same seed."""
    if sample is None or sample >= len(mutants):
        return list(mutants)
    return sorted(random.Random(seed).sample(list(mutants), sample))


def table(mutants: Sequence[Mutant], survivors: Sequence[Mutant]) -> str:
    """Return a line for each file, and one for all."""
    made = Counter(mutant.path for mutant in mutants)
    alive = Counter(mutant.path for mutant in survivors)
    width = max(map(len, made), default=0)
    lines = [
        f"{path:{width}}  {made[path] - alive[path]:4} killed  {alive[path]:4} survived" for path in made
    ]
    killed = len(mutants) - len(survivors)
    return "\n".join([*lines, f"{'all':{width}}  {killed:4} killed  {len(survivors):4} survived"])


def main() -> int:
    """Run as the command line says; exits with 1 where the tests fail without any mutant."""
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    parser.add_argument("--sample", type=int, default=None, help="so many mutants, by chance; all without it")
    parser.add_argument("--seed", type=int, default=0, help="which ones a sample has")
    parser.add_argument("--jobs", type=int, default=2, help="copies of the tree that run side by side")
    parser.add_argument("--files", nargs="+", default=MUTATED, help="patterns of what is mutated")
    parser.add_argument("--line", type=int, default=None, help="only mutants of this line")
    parser.add_argument("--tests", nargs="+", default=QUICK_SET, help="what runs against each mutant")
    parser.add_argument("--list", action="store_true", help="name the mutants, and run nothing")
    arguments = parser.parse_args()

    paths = sorted(path for pattern in arguments.files for path in ROOT.glob(pattern))
    texts = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in paths}
    all_mutants = [mutant for path, text in texts.items() for mutant in mutants_of(path, text)]
    if arguments.line is not None:
        all_mutants = [
            mutant
            for mutant in all_mutants
            if texts[mutant.path].count("\n", 0, mutant.start) + 1 == arguments.line
        ]
    mutants = chosen(all_mutants, arguments.sample, arguments.seed)
    print(f"{len(mutants)} of {len(all_mutants)} mutants, seed {arguments.seed}", flush=True)
    if arguments.list:
        for mutant in mutants:
            print(mutant.described(texts[mutant.path]))
        return 0

    def tell(mutant: Mutant, is_alive: bool) -> None:
        said = mutant.described(texts[mutant.path])
        print(f"{'SURVIVED' if is_alive else 'killed  '} {said}", file=sys.stderr, flush=True)

    with Hunt(ROOT, Path(tempfile.mkdtemp(prefix="mutants-")), arguments.jobs, arguments.tests) as hunt:
        try:
            seconds = hunt.seconds_without_mutant()
        except RuntimeError as error:
            print(error, file=sys.stderr)
            return 1
        print(f"without a mutant the tests are green, in {seconds:.0f} s", flush=True)
        survivors = hunt.survivors(mutants, tell)
    print(table(mutants, survivors))
    for mutant in survivors:
        print(mutant.described(texts[mutant.path]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
