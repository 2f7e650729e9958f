"""How programs are compiled, and that a second process finds those of the first."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest

from gibbous import compilation

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


@pytest.fixture
def options(monkeypatch):
    """Set what is asked of the compiler."""
    compilation._known.cache_clear()
    yield lambda wanted: monkeypatch.setattr(compilation, "_QUICK", wanted)
    compilation._known.cache_clear()


@pytest.mark.parametrize("wanted", [{"xla_backend_optimization_level": 1}, {"xla_gone": False}])
def test_options_that_the_compiler_does_not_know_are_left_out(options, wanted):
    options(wanted)
    assert float(compilation.jit(lambda x: x + 1)(jnp.ones(()))) == 2.0
    assert compilation._known() == ({} if "xla_gone" in wanted else wanted)


def test_programs_multiply_in_float32():
    program = compilation.jit(lambda x: str(jax.make_jaxpr(lambda y: y @ y)(x)))
    assert "Precision.HIGHEST" in program(jnp.eye(2))
    assert "Precision.HIGHEST" not in str(jax.make_jaxpr(lambda y: y @ y)(jnp.eye(2)))


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
