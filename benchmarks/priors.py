"""Priors in plain numbers, for libraries that know nothing of ours.

    {"kind": "box", "low": [d], "high": [d]}
    {"kind": "normal", "mean": [d], "cov": [d, d]}
    {"kind": "lognormal", "mu": [d], "sigma": [d]}

Parameters stand side by side in the order of `prior.names`.
"""

from collections.abc import Callable

import numpy as np
import numpyro.distributions as dist

import gibbous as gb

# For each family of numpyro: our name for it, and what to call its parameters.
KINDS: dict[type, tuple[str, Callable[[dist.Distribution], dict]]] = {
    dist.Uniform: ("box", lambda d: {"low": d.low, "high": d.high}),
    dist.Normal: ("normal", lambda d: {"mean": d.loc, "cov": d.scale**2}),
    dist.MultivariateNormal: ("normal", lambda d: {"mean": d.loc, "cov": d.covariance_matrix}),
    dist.LogNormal: ("lognormal", lambda d: {"mu": d.loc, "sigma": d.scale}),
}


def describe(prior: gb.Prior) -> dict:
    """The prior as plain numbers.

    Raises:
        SystemExit: if its parameters are not all of one of the families above.
    """
    factors = [prior.factors[name] for name in prior.names]
    families = {type(f) for f in factors}
    if len(families) > 1 or not families <= set(KINDS):
        names = sorted(f.__name__ for f in families)
        raise SystemExit(f"peers can be given a prior of one family, not of {names}: add it here")
    kind, values_of = KINDS[families.pop()]
    parts = [values_of(f) for f in factors]
    out: dict = {"kind": kind}
    for key in parts[0]:
        each = [np.atleast_1d(np.asarray(part[key], np.float64)) for part in parts]
        if key == "cov" and each[0].ndim == 2:  # of one vector parameter
            out[key] = each[0].tolist()
            continue
        shapes = [prior.shapes[name] for name in prior.names]
        flat = np.concatenate(
            [np.broadcast_to(v, s or (1,)).ravel() for v, s in zip(each, shapes, strict=True)]
        )
        out[key] = np.diag(flat).tolist() if key == "cov" else flat.tolist()
    return out
