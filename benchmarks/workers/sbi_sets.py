"""Run by the interpreter of sbi's own environment: its NPE on sets that are padded by NaN.

    python sbi_sets.py DATA.npz OUT.npz

DATA holds theta [N, d] and sets x [N, n, 1] to train on, others to ask for, held_theta and held_x,
and the standard deviations of a normal prior. OUT has the seconds that training took, and the log
densities of held_theta.
"""

import sys
import time

import numpy as np


def main() -> None:
    """Train with default settings behind the permutation-invariant embedding; write densities."""
    import torch
    from sbi.inference import NPE
    from sbi.neural_nets import posterior_nn
    from sbi.neural_nets.embedding_nets import FCEmbedding, PermutationInvariantEmbedding

    data, out = np.load(sys.argv[1]), sys.argv[2]
    torch.manual_seed(0)
    tensors = {k: torch.as_tensor(data[k], dtype=torch.float32) for k in data.files}
    sd = tensors["sd"]
    prior = torch.distributions.MultivariateNormal(torch.zeros(len(sd)), torch.diag(sd**2))
    embedding = PermutationInvariantEmbedding(
        FCEmbedding(input_dim=1, num_hiddens=40, num_layers=2, output_dim=20), 20
    )
    # Points cannot be standardised where some are NaN, as its own guide says.
    build = posterior_nn(model="maf", embedding_net=embedding, z_score_x="none")
    inference = NPE(prior, density_estimator=build)
    began = time.perf_counter()
    inference.append_simulations(tensors["theta"], tensors["x"], exclude_invalid_x=False).train()
    seconds = time.perf_counter() - began
    estimator = inference.build_posterior().posterior_estimator
    with torch.no_grad():
        value = estimator.log_prob(tensors["held_theta"][None], tensors["held_x"])[0]
    np.savez(out, seconds=seconds, log_prob=value.numpy())


if __name__ == "__main__":
    main()
