"""Contenders side by side, and the table of what came out.

    python -m benchmarks run --task two_moons --method npe --budget 1000 --peer sbi \
        --references FOLDER
    python -m benchmarks table
    python -m benchmarks rounds --task two_moons --budget 1000 10000 --references FOLDER
    python -m benchmarks floor
    python -m benchmarks guard
    python -m benchmarks skies
    python -m benchmarks sizes --problem double_moon gaussian --peer sbi

`run` adds a JSON line a job to the file of results, `rounds` a line an observation to that of
sequential rounds; `table` writes RESULTS.md and ROUNDS.md from them, with their figures.
`floor` prints what a step of training takes, over the least that its arithmetic could take;
`guard` fails if that, or the accuracy of two tasks, is worse than it was.
`skies` adds a line a method to `skies.jsonl`: source counts from images, and their figure;
`sizes` a line a problem to `sizes.jsonl`: sets of any size, with missing entries.
"""

import argparse
import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def parser() -> argparse.ArgumentParser:
    """The command line."""
    import gibbous as gb
    from benchmarks.environments import PEERS
    from benchmarks.sequential import METHODS, PUBLISHED

    top = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    commands = top.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="run contenders side by side")
    some: dict = {"nargs": "+", "metavar": "NAME"}
    run.add_argument("--task", choices=sorted(gb.tasks.TASKS), required=True, **some)
    run.add_argument(
        "--method", type=str.upper, choices=list(gb.METHODS), default=list(gb.METHODS), **some
    )
    run.add_argument("--budget", type=int, nargs="+", default=[1_000, 10_000])
    run.add_argument("--peer", choices=list(PEERS), nargs="*", default=[])
    run.add_argument("--observations", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    run.add_argument("--repeats", type=int, default=1)
    run.add_argument("--seed", type=int, default=0, help="of the first repeat; the next have next")
    run.add_argument("--draws", type=int, default=10_000)
    run.add_argument("--references", type=Path, help="folder with TASK.npz")
    run.add_argument(
        "--again", action="store_true", help="time a second run too, that need not compile"
    )
    run.add_argument("--c2st", choices=["sklearn", "jax", "both"], default="both")
    run.add_argument("--out", type=Path, default=HERE / "results.jsonl")
    table = commands.add_parser("table", help="write RESULTS.md and ROUNDS.md")
    table.add_argument("--results", type=Path, default=HERE / "results.jsonl")
    table.add_argument("--rounds", type=Path, default=HERE / "rounds.jsonl")
    table.add_argument("--out", type=Path, default=HERE / "RESULTS.md")
    rounds = commands.add_parser("rounds", help="run sequential rounds")
    rounds.add_argument("--task", choices=[*PUBLISHED, "double_moon"], required=True, **some)
    rounds.add_argument("--method", choices=list(METHODS), **some)
    rounds.add_argument("--budget", type=int, nargs="+", default=[1_000, 10_000])
    rounds.add_argument("--rounds", type=int, default=10)
    rounds.add_argument("--observations", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    rounds.add_argument("--seed", type=int, default=0)
    rounds.add_argument("--peer", choices=["sbi"], nargs="*", default=[])
    rounds.add_argument("--references", type=Path, help="folder with TASK.npz")
    rounds.add_argument("--out", type=Path, default=HERE / "rounds.jsonl")
    floor = commands.add_parser("floor", help="time steps of training against their arithmetic")
    floor.add_argument("--repeats", type=int, default=5)
    floor.add_argument("--steps", type=int, default=2_000, help="of each fit")
    commands.add_parser("guard", help="fail if training is slower or worse than it was")
    skies = commands.add_parser("skies", help="source counts from images")
    skies.add_argument("--method", choices=["NPE", "NRE"], default=["NPE", "NRE"], **some)
    skies.add_argument("--budget", type=int, default=20_000)
    skies.add_argument("--steps", type=int, default=1_500)
    skies.add_argument("--layers", type=int, default=0, help="convolutions of the embedding")
    skies.add_argument("--skies", type=int, default=500, help="fresh ones to check on")
    skies.add_argument("--seed", type=int, default=0)
    skies.add_argument("--figure", type=Path, default=HERE / "figures" / "source_counts.png")
    skies.add_argument("--out", type=Path, default=HERE / "skies.jsonl")
    sizes = commands.add_parser("sizes", help="sets of any size, with missing entries")
    problems = ["double_moon", "gaussian"]
    sizes.add_argument("--problem", choices=problems, default=problems, **some)
    sizes.add_argument("--budget", type=int, default=10_000)
    sizes.add_argument("--sets", type=int, default=2_000, help="fresh ones to check on")
    sizes.add_argument("--peer", choices=["sbi"], nargs="*", default=[])
    sizes.add_argument("--seed", type=int, default=0)
    sizes.add_argument("--figure", type=Path, default=HERE / "figures" / "sizes.png")
    sizes.add_argument("--out", type=Path, default=HERE / "sizes.jsonl")
    return top


def main() -> int:
    """Do as told; 1 if a job failed."""
    args = parser().parse_args()
    if args.command == "table":
        from benchmarks import rounds_page
        from benchmarks.table import write

        write(args.results, args.out)
        rounds_page.write(args.rounds, args.out.parent)
        return 0
    if args.command == "rounds":
        from benchmarks.run import stamp
        from benchmarks.sequential import cases, measure
        from benchmarks.sequential import summary as of_rounds

        common = stamp()
        for case in cases(args):
            for found in measure(case, args.references, args.peer):
                line = common | {"date": stamp()["date"]} | found
                with args.out.open("a") as file:
                    file.write(json.dumps(line) + "\n")
                print(of_rounds(line), flush=True)
        return 0
    if args.command == "skies":
        from benchmarks.run import stamp
        from benchmarks.skies import run as run_skies

        common = stamp()
        with args.out.open("a") as file:
            file.writelines(json.dumps(common | line) + "\n" for line in run_skies(args))
        return 0
    if args.command == "sizes":
        from benchmarks.run import stamp
        from benchmarks.sizes import PROBLEMS, draw

        for problem in args.problem:
            line = stamp() | {"problem": problem} | PROBLEMS[problem](args)
            with args.out.open("a") as file:
                file.write(json.dumps(line) + "\n")
        draw([json.loads(line) for line in args.out.open()], args.figure)
        return 0
    if args.command == "floor":
        from benchmarks.floor import CASES, HEADINGS, measure, row

        print("", *HEADINGS, "", sep=" | ")
        print("", *["---"] * len(HEADINGS), "", sep=" | ")
        for case in CASES:
            print("", *row(measure(case, args.repeats, args.steps)), "", sep=" | ", flush=True)
        return 0
    if args.command == "guard":
        from benchmarks.guard import check, verdict

        all_hold = True
        for found in check():
            holds, text = verdict(*found)
            all_hold &= holds
            print(text, flush=True)
        return 0 if all_hold else 1
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn

    from benchmarks.run import Plan, run

    plan = Plan(
        args.task, args.method, args.budget, args.peer, args.observations,
        list(range(args.seed, args.seed + args.repeats)), args.draws,
        ["sklearn", "jax"] if args.c2st == "both" else [args.c2st], args.references,
        args.again,
    )  # fmt: skip
    columns = "[bold]{task.description}", BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns) as bar:
        shown = bar.add_task("jobs", total=len(plan.jobs()))

        def finished(line: dict) -> None:
            bar.advance(shown)
            bar.console.print(summary(line), highlight=False, soft_wrap=True, markup=False)

        return 0 if run(plan, args.out, finished) else 1


def summary(line: dict) -> str:
    """One line for people."""
    head = f"{line['task']} {line['method']} {line['budget']} seed {line['seed']} {line['who']}:"
    if "error" in line:
        return f"{head} FAILED, {line['error']}"
    scores = [f"C2ST {sum(v) / len(v):.3f} ({k})" for k, v in line["c2st"].items()]
    if line["log_prob"] is not None:
        scores.append(f"log density {line['log_prob']:.2f}")
    times = f"train {line['train']:.1f} s, first draws {line['first_draws']:.2f} s"
    return " ".join([head, ", ".join([*scores, times])])


if __name__ == "__main__":
    sys.exit(main())
