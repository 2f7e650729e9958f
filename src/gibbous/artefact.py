"""Posteriors as files: what is written beside the arrays, and how a posterior is made from it.

A file holds the arrays (safetensors) and a JSON recipe: the method with the sizes of its networks,
the prior where it is made of standard numpyro distributions, the shapes, the history. Loading
rebuilds the networks from the recipe, by names looked up in gibbous' own registries, and fills in
the arrays. No code is read from the file; what has no name in a registry is asked for.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from gibbous import tensors
from gibbous.errors import ArtefactError
from gibbous.history import History
from gibbous.latent import Latent
from gibbous.method import AbstractMethod, Spec
from gibbous.missing import MISSING, AbstractMissing, Forgotten, Subsets
from gibbous.posteriors.direct import DirectPosterior
from gibbous.posteriors.mcmc import MCMCPosterior
from gibbous.posteriors.posterior import Posterior
from gibbous.prior import Prior
from gibbous.recipe import describe, restore
from gibbous.scaling import Standardizer
from gibbous.simulation.sources import Batch

_NETWORKS = 6  # one more when networks of the same shapes take their numbers for something else


def recipe(
    method: AbstractMethod,
    latent: Latent,
    spec: Spec,
    history: History,
    sizes: tuple[int, int] | None,
    missing: AbstractMissing | Subsets | None,
) -> dict[str, Any]:
    """All of a posterior but its arrays, as plain JSON values."""
    return {
        "networks": _NETWORKS,
        "method": describe(method),
        "prior": latent.prior.describe(),
        "inferred": list(latent.names),
        "z_dim": latent.dim,
        "z_continuous": latent.n_continuous,
        "event_shape": list(spec.pilot.x.shape[1:]),
        "few": spec.few,
        "lattice": spec.lattice,
        "sizes": sizes,
        "missing": describe(missing),
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
        ArtefactError: if the file is missing, cut short, changed, of a newer format, of networks
            that worked otherwise, needs a prior or a method that was not given, or was fitted with
            others than those given.
    """
    arrays, header = tensors.read(path, "posterior")
    if header.get("networks") != _NETWORKS:
        raise ArtefactError(
            f"{path} was written by a version of gibbous whose networks worked otherwise: fit "
            "again, or load it with that version"
        )
    if prior is None:
        prior = Prior.restore(header["prior"], path)
    elif prior.describe() != header["prior"]:
        raise ArtefactError(f"{path} was fitted under another prior than {prior!r}")
    if method is None:
        method = restore(header["method"], registry, path)
    elif describe(method) != header["method"]:
        raise ArtefactError(f"{path} was fitted with another method than {method!r}")
    assert method is not None
    like, x_scaler = _skeleton(header, prior, method, registry, path)
    try:
        approximation, latent, x_scaler = tensors.restore((*like, x_scaler), arrays)
    except ArtefactError as error:
        raise ArtefactError(f"{path} does not fit its recipe: {error}") from None
    shape, sizes = tuple(header["event_shape"]), header["sizes"]
    return Posterior(
        approximation=approximation,
        latent=latent,
        x_scaler=x_scaler,
        event_shape=(None, *shape[1:]) if approximation.iid or sizes else shape,
        sizes=None if sizes is None else (sizes[0], sizes[1]),
        missing=_missing(header, path),
        history=History.from_json(header["history"]),
        recipe={k: v for k, v in header.items() if k not in ("kind", "format")},
    )


def _missing(header: dict[str, Any], path: str | Path) -> AbstractMissing | Subsets | None:
    custom = header["missing"] is not None and header["missing"]["type"] == "custom"
    return Forgotten() if custom else restore(header["missing"], MISSING, path)


def _skeleton(
    header: dict[str, Any],
    prior: Prior,
    method: AbstractMethod,
    registry: Mapping[str, type],
    path: str | Path,
) -> tuple[tuple[Any, Latent], Standardizer]:
    """The approximation, latent space and scaler of data, with shapes in the place of arrays."""
    names, event_shape = tuple(header["inferred"]), tuple(header["event_shape"])
    empty = Standardizer.empty((header["z_continuous"],))
    latent = Latent(prior, names, empty, empty)

    entries = isinstance(_missing(header, path), AbstractMissing)

    def model(method: AbstractMethod, pilot: Batch) -> Any:
        spec = Spec(pilot, header["few"], latent, entries, header["lattice"])
        return method.init(jax.random.key(0), spec)

    # Nothing is computed: the arrays of the file will take the place of the weights.
    shapes = (header["z_dim"],), event_shape
    rows: Any = [jax.ShapeDtypeStruct((2, *s), jnp.float32) for s in shapes]
    approximation = method.posterior(eqx.filter_eval_shape(model, method, Batch(*rows)), latent)
    if isinstance(approximation, DirectPosterior) and "steps" in header:
        approximation = approximation.with_steps(header["steps"])
    if isinstance(approximation, MCMCPosterior):
        if "sampler" in header:  # was changed after the fit
            sampler = restore(header["sampler"], registry, path)
            approximation = replace(approximation, sampler=sampler)
        if "new_prior" in header:
            latent = Latent(Prior.restore(header["new_prior"], path), names, empty, empty)
            trained = approximation.latent
            approximation = replace(approximation, latent=latent, trained=trained)
    return (approximation, latent), Standardizer.empty(event_shape[-1:])
