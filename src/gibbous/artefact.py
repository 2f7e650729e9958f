"""Posteriors as files: what is written beside the arrays, and how a posterior is made from it.

A file holds the arrays (safetensors) and a JSON recipe: the method with the sizes of its networks,
the prior where it is made of standard numpyro distributions, the shapes, the history. Loading
rebuilds the networks from the recipe, by names looked up in gibbous' own registries, and fills in
the arrays. No code is read from the file; what has no name in a registry is asked for.
"""

import inspect
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from numpyro.distributions import truncated

from gibbous import tensors
from gibbous.errors import ArtefactError
from gibbous.estimators.base import AbstractEstimator
from gibbous.history import History
from gibbous.method import AbstractMethod, Spec
from gibbous.nets.base import AbstractEmbedding
from gibbous.posteriors.posterior import Posterior
from gibbous.prior import Latent, Prior
from gibbous.scaling import Standardizer
from gibbous.simulation.sources import Batch


def recipe(
    method: AbstractMethod, prior: Prior, names: tuple[str, ...], spec: Spec, history: History
) -> dict[str, Any]:
    """All of a posterior but its arrays, as plain JSON values."""
    return {
        "method": describe(method),
        "prior": describe_prior(prior),
        "inferred": list(names),
        "z_dim": spec.pilot.z.shape[1],
        "event_shape": list(spec.pilot.x.shape[1:]),
        "n_simulations": spec.n_simulations,
        "history": history.to_json(),
    }


def load_posterior(
    path: str | Path,
    registry: Mapping[str, type],
    *,
    prior: Prior | None = None,
    method: AbstractMethod | None = None,
) -> Posterior:
    """Read a posterior that `Posterior.save` wrote.

    Args:
        path: the file.
        registry: the classes that a recipe may name.
        prior: needed if the prior holds callables or distributions that are not numpyro's.
        method: needed if the method holds a network of the user's own.

    Raises:
        ArtefactError: if the file is missing, cut short, changed, of a newer format, needs a
            prior or a method that was not given, or was fitted with others than those given.
    """
    arrays, header = tensors.read(path, "posterior")
    if prior is None:
        prior = _restore_prior(header["prior"], path)
    elif describe_prior(prior) != header["prior"]:
        raise ArtefactError(f"{path} was fitted under another prior than {prior!r}")
    if method is None:
        method = _restore(header["method"], registry, path)
    elif describe(method) != header["method"]:
        raise ArtefactError(f"{path} was fitted with another method than {method!r}")
    event_shape, z_dim = tuple(header["event_shape"]), header["z_dim"]

    def skeleton(method: AbstractMethod, pilot: Batch) -> Any:
        model = method.init(jax.random.key(0), Spec(pilot, header["n_simulations"]))
        return method.posterior(model, prior)

    # Shapes only: nothing is computed, and the arrays of the file take the place of the weights.
    rows: Any = [jax.ShapeDtypeStruct((2, *s), jnp.float32) for s in ((z_dim,), event_shape)]
    approximation = eqx.filter_eval_shape(skeleton, method, Batch(*rows))
    like = (approximation, _empty_scaler((z_dim,)), _empty_scaler(event_shape[-1:]))
    try:
        approximation, z_scaler, x_scaler = tensors.restore(like, arrays)
    except ArtefactError as error:
        raise ArtefactError(f"{path} does not fit its recipe: {error}") from None
    return Posterior(
        approximation=approximation,
        latent=Latent(prior, tuple(header["inferred"]), z_scaler),
        x_scaler=x_scaler,
        event_shape=event_shape,
        history=History.from_json(header["history"]),
        recipe={k: v for k, v in header.items() if k not in ("kind", "format")},
    )


# --- values with fields (methods, embeddings, estimators) -----------------------------------------


def describe(value: Any) -> Any:
    """A recipe such as `NPE(DeepSet())` as JSON; networks of the user's own become "custom"."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tuple | list):
        return [describe(v) for v in value]
    if isinstance(value, AbstractMethod | AbstractEmbedding | AbstractEstimator):
        inner = {f.name: describe(getattr(value, f.name)) for f in fields(value)}
        return {"type": type(value).__name__, "fields": inner}
    return {"type": "custom", "name": type(value).__name__}


def _restore(value: Any, registry: Mapping[str, type], path: str | Path) -> Any:
    if isinstance(value, list):
        return tuple(_restore(v, registry, path) for v in value)
    if not isinstance(value, dict):
        return value
    name = str(value.get("type"))
    if name not in registry:
        raise ArtefactError(
            f"{path} holds a network that is not gibbous' own ({value.get('name', name)}); pass "
            "the method that it was fitted with: gb.load(path, method=gb.NPE(embedding=...))"
        )
    try:
        return registry[name](
            **{k: _restore(v, registry, path) for k, v in value["fields"].items()}
        )
    except (TypeError, KeyError, AttributeError) as error:
        raise ArtefactError(f"{path} has an unknown recipe of {name}: {error}") from None


# --- priors ---------------------------------------------------------------------------------------


def describe_prior(prior: Prior) -> dict[str, Any]:
    """A prior as JSON, "custom" for each parameter that is a callable or no plain distribution."""
    return {name: _describe_distribution(factor) for name, factor in prior.factors.items()}


def _describe_distribution(d: Any) -> dict[str, Any]:
    custom = {"type": "custom", "name": type(d).__name__}
    if not isinstance(d, dist.Distribution) or _class_of(type(d).__name__) is not type(d):
        return custom
    arguments = {}
    for name in inspect.signature(type(d)).parameters:
        value = vars(d).get(name)
        if isinstance(value, dist.Distribution):
            arguments[name] = _describe_distribution(value)
        elif value is not None and name != "validate_args":
            try:
                arguments[name] = np.asarray(value, np.float64).tolist()
            except (TypeError, ValueError):
                return custom
    if "scale_tril" in arguments:  # the multivariate ones take one of three, and keep more
        arguments = {k: v for k, v in arguments.items() if not k.endswith("_matrix")}
    described = {"type": type(d).__name__, "arguments": arguments}
    return described if _same(d, described) else custom


def _class_of(name: str) -> type | None:
    found = getattr(dist, name, None) or getattr(truncated, name, None)
    return found if isinstance(found, type) and issubclass(found, dist.Distribution) else None


def _same(d: dist.Distribution, described: dict[str, Any]) -> bool:
    """Whether the description gives back the distribution: equal densities at its draws."""
    try:
        back = _restore_distribution(described)
        draws = d.sample(jax.random.key(0), (16,))
        return bool(np.allclose(back.log_prob(draws), d.log_prob(draws), rtol=1e-5))
    except Exception:
        return False


def _restore_distribution(described: dict[str, Any]) -> dist.Distribution:
    cls = _class_of(described["type"])
    if cls is None:
        raise ArtefactError(f"numpyro has no distribution {described['type']!r}")
    arguments = {
        k: _restore_distribution(v) if isinstance(v, dict) else _number(k, v)
        for k, v in described["arguments"].items()
    }
    return cls(**arguments)


def _number(name: str, value: Any) -> Any:
    return int(value) if name == "reinterpreted_batch_ndims" else jnp.asarray(value, jnp.float32)


def _restore_prior(described: dict[str, Any], path: str | Path) -> Prior:
    custom = [name for name, d in described.items() if "custom" in _types_in(d)]
    if custom:
        raise ArtefactError(
            f"the prior of {custom} in {path} is not made of plain numpyro distributions, so it "
            "does not travel with the file; pass it: gb.load(path, prior=prior)"
        )
    return Prior(**{name: _restore_distribution(d) for name, d in described.items()})


def _types_in(described: dict[str, Any]) -> set[str]:
    nested = [v for v in described.get("arguments", {}).values() if isinstance(v, dict)]
    return {described["type"]}.union(*(_types_in(v) for v in nested))


def _empty_scaler(shape: tuple[int, ...]) -> Standardizer:
    zero = jnp.zeros(shape)
    return Standardizer(zero, zero, zero, zero, zero)
