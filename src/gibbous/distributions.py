"""numpyro distributions as JSON, by the names of their classes and arguments."""

import inspect
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from numpyro.distributions import truncated

from gibbous.errors import ArtefactError


def describe(d: Any) -> dict[str, Any]:
    """A distribution as JSON; "custom" for a callable, or what does not come back the same."""
    custom = {"type": "custom", "name": type(d).__name__}
    if not isinstance(d, dist.Distribution) or _class_of(type(d).__name__) is not type(d):
        return custom
    arguments = {}
    for name in inspect.signature(type(d)).parameters:
        value = vars(d).get(name)
        if isinstance(value, dist.Distribution):
            arguments[name] = describe(value)
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
    """Whether the description gives back the distribution: the same parts, of equal values."""
    try:
        (values, tree), (back, tree_back) = map(jax.tree.flatten, (d, restore(described)))
        pairs = zip(values, back, strict=True)
        return tree == tree_back and all(np.allclose(a, b, rtol=1e-5) for a, b in pairs)
    except Exception:
        return False


def restore(described: dict[str, Any]) -> dist.Distribution:
    """The distribution that `describe` wrote."""
    cls = _class_of(described["type"])
    if cls is None:
        raise ArtefactError(f"numpyro has no distribution {described['type']!r}")
    arguments = {
        k: restore(v) if isinstance(v, dict) else _number(k, v)
        for k, v in described["arguments"].items()
    }
    return cls(**arguments)


def _number(name: str, value: Any) -> Any:
    return int(value) if name == "reinterpreted_batch_ndims" else jnp.asarray(value, jnp.float32)


def is_custom(described: dict[str, Any]) -> bool:
    """Whether a part of it could not be described."""
    return "custom" in _types_in(described)


def _types_in(described: dict[str, Any]) -> set[str]:
    nested = [v for v in described.get("arguments", {}).values() if isinstance(v, dict)]
    return {described["type"]}.union(*(_types_in(v) for v in nested))
