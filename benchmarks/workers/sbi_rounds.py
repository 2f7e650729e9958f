"""Run by the interpreter of sbi's own environment: its sequential rounds for one observation.

    python sbi_rounds.py FOLDER

FOLDER holds job.json (method, seed, rounds, per_round, n_draws, prior) and observation.npy [k]. In
each round this writes theta.npy [per_round, d], says so in a line on its output, and waits for a
line on its input, when x.npy [per_round, k] is there. The answer is draws.npy [n_draws, d] and
out.json: seconds of training by round, and those that all the rounds took.
"""

import json
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from sbi_worker import Sbi

QUANTILE = 1e-4  # of the posterior that truncated rounds leave out, as in sbi's own guide


def main() -> None:
    """TSNPE as in sbi's guide to it, or SNLE; everything else by default."""
    answers, sys.stdout = sys.stdout, sys.stderr  # sbi prints what it does
    folder = Path(sys.argv[1])
    job = json.loads((folder / "job.json").read_text())
    sbi = Sbi()
    from sbi.utils import RestrictedPrior, get_density_thresholder

    sbi.torch.manual_seed(job["seed"])
    truncated = job["method"] == "TNPE"
    proposal = prior = sbi.prior(job["prior"])
    trainer = getattr(sbi.inference, "NPE" if truncated else job["method"])(prior)
    x_obs = sbi.tensor(np.load(folder / "observation.npy"))
    training, began = [], time.perf_counter()
    for r in range(job["rounds"]):
        theta = proposal.sample((job["per_round"],))
        np.save(folder / "theta.npy", theta.numpy())
        print("theta", file=answers, flush=True)
        sys.stdin.readline()
        x = sbi.tensor(np.load(folder / "x.npy"))
        started = time.perf_counter()
        if truncated:
            trainer.append_simulations(theta, x, proposal=proposal)
            trainer.train(force_first_round_loss=True)
        else:
            trainer.append_simulations(theta, x).train()
        training.append(time.perf_counter() - started)
        posterior = trainer.build_posterior().set_default_x(x_obs)
        if r + 1 == job["rounds"]:
            break
        proposal = posterior
        if truncated:
            inside = get_density_thresholder(posterior, quantile=QUANTILE)
            proposal = RestrictedPrior(prior, inside, sample_with="rejection")
    seconds = time.perf_counter() - began
    draws = posterior.sample((job["n_draws"],), show_progress_bars=False)
    np.save(folder / "draws.npy", draws.numpy())
    (folder / "out.json").write_text(json.dumps({"training": training, "seconds": seconds}))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
