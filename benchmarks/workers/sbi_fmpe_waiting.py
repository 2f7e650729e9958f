"""Run by the interpreter of sbi's own environment: its FMPE, which draws when told to.

    python sbi_fmpe_waiting.py DATA.npz OUT.npz

DATA holds theta [N, d], x [N, k], low and high [d] of a uniform prior, and an observation [k].
Prints the seconds that training took; then, for every line "n seed" on standard input, draws n and
prints the seconds that took. The last draws are in OUT when standard input ends.
"""

import sys
import time

import numpy as np


def main() -> None:
    """Train, draw when told, write the last draws."""
    import torch
    from sbi.inference import FMPE
    from sbi.utils import BoxUniform

    data, out = np.load(sys.argv[1]), sys.argv[2]
    torch.manual_seed(0)
    tensors = {k: torch.as_tensor(data[k], dtype=torch.float32) for k in data.files}
    inference = FMPE(BoxUniform(tensors["low"], tensors["high"]))
    began = time.perf_counter()
    inference.append_simulations(tensors["theta"], tensors["x"]).train()
    posterior = inference.build_posterior()
    # On lines of their own, as sbi's bar of progress may leave its line open.
    print(f"\ntrained {time.perf_counter() - began}", flush=True)
    draws = None
    for line in sys.stdin:
        n, seed = map(int, line.split())
        torch.manual_seed(seed)
        began = time.perf_counter()
        draws = posterior.sample((n,), x=tensors["observation"], show_progress_bars=False)
        print(f"\ndrawn {time.perf_counter() - began}", flush=True)
    if draws is not None:
        np.savez(out, draws=draws.numpy())


if __name__ == "__main__":
    main()
