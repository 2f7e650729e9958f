"""Posteriors as files: what travels, what is asked for, and what is refused."""

import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

import gibbous as gb
from gibbous.errors import ArtefactError, OutputExistsError

CONFIG = gb.FitConfig(steps=50, checks=2, progress=False)
ESTIMATOR = gb.MDN(components=2, width=8, depth=1)
PLAIN = gb.Prior(a=dist.Normal(jnp.zeros(2), 1.0))
CONDITIONAL = gb.Prior(a=dist.Normal(jnp.zeros(2), 1.0), b=lambda a: dist.Normal(a[0], 1.0))


@gb.simulator
def simulator(key, theta):
    return theta["a"] + jax.random.normal(key, (2,))


class Own(eqx.Module):
    """A network of the user's."""

    weight: jax.Array

    def __call__(self, x, mask):
        return jnp.tanh(self.weight @ x)


def fit(prior=PLAIN, embedding=None):
    sims = gb.simulate(prior, simulator, 200, seed=0)
    method = gb.NPE(embedding=embedding or gb.Identity(), estimator=ESTIMATOR)
    return method, gb.fit(method, prior, sims, config=CONFIG, seed=0)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "posterior.gibbous"
    _, posterior = fit()
    posterior.save(path)
    return path, posterior


X = np.array([0.3, -0.3], np.float32)


def equal(p, q):
    return np.array_equal(p.sample(X, 50, seed=0).array, q.sample(X, 50, seed=0).array)


def test_a_plain_posterior_travels_alone(saved):
    path, posterior = saved
    loaded = gb.load(path)
    assert equal(posterior, loaded)
    assert loaded.names == ("a",)
    np.testing.assert_allclose(
        loaded.prior.log_prob({"a": np.ones(2)}), PLAIN.log_prob({"a": np.ones(2)})
    )


def test_a_loaded_posterior_can_be_saved_again(saved, tmp_path):
    path, posterior = saved
    gb.load(path).save(tmp_path / "again.gibbous")
    assert equal(posterior, gb.load(tmp_path / "again.gibbous"))


def test_an_existing_file_is_not_overwritten(saved):
    path, posterior = saved
    with pytest.raises(OutputExistsError, match="overwrite=True"):
        posterior.save(path)


def test_a_conditional_prior_is_asked_for(tmp_path):
    _, posterior = fit(CONDITIONAL)
    posterior.save(tmp_path / "p.gibbous")
    with pytest.raises(ArtefactError, match=r"\['b'\].*gb\.load\(path, prior=prior\)"):
        gb.load(tmp_path / "p.gibbous")
    assert equal(posterior, gb.load(tmp_path / "p.gibbous", prior=CONDITIONAL))
    with pytest.raises(ArtefactError, match="another prior"):
        gb.load(tmp_path / "p.gibbous", prior=PLAIN)


def test_a_network_of_the_users_own_is_asked_for(tmp_path):
    method, posterior = fit(embedding=Own(jnp.ones((3, 2))))
    posterior.save(tmp_path / "p.gibbous")
    with pytest.raises(ArtefactError, match=r"Own.*method=gb\.NPE"):
        gb.load(tmp_path / "p.gibbous")
    assert equal(posterior, gb.load(tmp_path / "p.gibbous", method=method))


def rewrite(path, target, change):
    """Write the file again with another header and a checksum that fits: a careful forger."""
    from gibbous import tensors

    with safe_open(path, framework="numpy") as file:
        header = json.loads(file.metadata()["gibbous"])
        arrays = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
    change(header)
    text = json.dumps(header)
    save_file(arrays, target, {"gibbous": text, "sha256": tensors._digest(text, arrays)})


def test_a_forged_recipe_names_no_class_outside_the_registry(saved, tmp_path):
    def change(header):
        header["method"] = {"type": "os.system", "fields": {"command": "true"}}

    rewrite(saved[0], tmp_path / "forged", change)
    with pytest.raises(ArtefactError, match=r"os\.system"):
        gb.load(tmp_path / "forged")


def test_a_forged_prior_names_no_class_outside_numpyro(saved, tmp_path):
    def change(header):
        header["prior"]["a"] = {"type": "Popen", "arguments": {}}

    rewrite(saved[0], tmp_path / "forged", change)
    with pytest.raises(ArtefactError, match="Popen"):
        gb.load(tmp_path / "forged")


def test_a_recipe_of_other_sizes_does_not_fit_the_arrays(saved, tmp_path):
    def change(header):
        header["method"]["fields"]["estimator"]["fields"]["width"] = 9

    rewrite(saved[0], tmp_path / "forged", change)
    with pytest.raises(ArtefactError, match="does not fit its recipe"):
        gb.load(tmp_path / "forged")


def test_a_newer_format_asks_for_an_update(saved, tmp_path):
    rewrite(saved[0], tmp_path / "newer", lambda header: header.update(format=99))
    with pytest.raises(ArtefactError, match="update gibbous"):
        gb.load(tmp_path / "newer")


@pytest.mark.parametrize("change", [lambda h: h.pop("networks"), lambda h: h.update(networks=1)])
def test_networks_that_worked_otherwise_are_refused(saved, tmp_path, change):
    rewrite(saved[0], tmp_path / "old", change)
    with pytest.raises(ArtefactError, match="worked otherwise: fit again"):
        gb.load(tmp_path / "old")


@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
def test_a_file_cut_short_is_refused(saved, tmp_path, share):
    whole = saved[0].read_bytes()
    (tmp_path / "cut").write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ArtefactError, match="cut short"):
        gb.load(tmp_path / "cut")


def test_an_edited_array_is_refused(saved, tmp_path):
    edited = bytearray(saved[0].read_bytes())
    edited[-3] ^= 0xFF
    (tmp_path / "edited").write_bytes(edited)
    with pytest.raises(ArtefactError, match="checksum"):
        gb.load(tmp_path / "edited")


def test_plain_distributions_travel():
    prior = gb.Prior(
        normal=dist.Normal(1.0, 2.0),
        uniform=dist.Uniform(-1.0, 3.0),
        half=dist.HalfNormal(2.0),
        truncated=dist.TruncatedNormal(2.0, 1.0, low=0.0),
        both=dist.TruncatedNormal(0.0, 1.0, low=-1.0, high=2.0),
        log=dist.LogNormal(0.0, 1.0),
        heavy=dist.StudentT(3.0, 0.0, 1.0),
        vector=dist.MultivariateNormal(jnp.zeros(2), jnp.array([[1.0, 0.5], [0.5, 2.0]])),
        simplex=dist.Dirichlet(jnp.ones(3)),
        event=dist.Normal(jnp.zeros(2), 1.0).to_event(1),
        gamma=dist.Gamma(2.0, 3.0),
        rate=dist.Exponential(5.0),
    )
    described = json.loads(json.dumps(prior.describe()))
    back = gb.Prior.restore(described, "a file")
    theta = prior.sample(0, 20)
    np.testing.assert_allclose(back.log_prob(theta), prior.log_prob(theta), rtol=1e-4, atol=1e-4)
