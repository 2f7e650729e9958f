"""Programs that are kept: a second process finds those of the first."""

import os
import subprocess
import sys

import pytest

SCRIPT = """
import gibbous as gb
import jax, numpyro.distributions as dist
gb.keep_compilations()
hits = []
jax.monitoring.register_event_listener(lambda event, **_: hits.append(event))
prior = gb.Prior(a=dist.Normal(0.0, 1.0))
sims = gb.Simulations(prior.sample(0, 50), prior.sample(1, 50)["a"][:, None])
config = gb.FitConfig(steps=2, checks=1, progress=False)
posterior = gb.fit(gb.NPE(estimator=gb.MDN(width=8), members=1), prior, sims, config=config, seed=0)
print(hits.count("/jax/compilation_cache/cache_hits"),
      hits.count("/jax/compilation_cache/cache_misses"))
"""


@pytest.mark.slow
def test_a_second_process_compiles_little(tmp_path):
    env = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT]
    counts = []
    for _ in range(2):
        done = subprocess.run(command, capture_output=True, text=True, env=env, check=True)
        counts.append([int(v) for v in done.stdout.split()])
    assert counts[0][1] > 5, counts
    # Programs that compile in less than .1 s are not kept, and which these are varies.
    assert counts[1][0] > 2, counts
    assert counts[1][1] < counts[0][1] / 2
