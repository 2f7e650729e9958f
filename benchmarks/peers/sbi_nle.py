"""Run by the interpreter of sbi's own environment: its NLE, with default settings, on given data.

    python sbi_nle.py DATA.npz OUT.npz SAMPLES

DATA holds theta [N, d], x [N, k], low and high [d] of a uniform prior, and an observation [k].
"""

import sys
import time

import numpy as np


def main() -> None:
    """Train, sample, and write draws and seconds."""
    began = time.perf_counter()
    import torch
    from sbi.inference import NLE
    from sbi.utils import BoxUniform

    imported = time.perf_counter() - began
    data, out, n = np.load(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    torch.manual_seed(0)
    tensors = {k: torch.as_tensor(data[k], dtype=torch.float32) for k in data.files}
    prior = BoxUniform(tensors["low"], tensors["high"])
    inference = NLE(prior)
    began = time.perf_counter()
    inference.append_simulations(tensors["theta"], tensors["x"]).train()
    train = time.perf_counter() - began
    posterior = inference.build_posterior()
    began = time.perf_counter()
    draws = posterior.sample((n,), x=tensors["observation"], show_progress_bars=False)
    sample = time.perf_counter() - began
    chains = posterior.num_chains
    np.savez(out, draws=draws.numpy(), chains=chains, imported=imported, train=train, sample=sample)


if __name__ == "__main__":
    main()
