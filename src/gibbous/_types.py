"""Shape aliases and the one meaning of "seed"."""

import zlib
from collections.abc import Mapping
from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, PRNGKeyArray

from gibbous.errors import SeedError

Key: TypeAlias = PRNGKeyArray
Seed: TypeAlias = int | np.integer | Array | PRNGKeyArray
Theta: TypeAlias = Mapping[str, ArrayLike]  # parameters by name, in the user's own units


def as_key(seed: Seed) -> Key:
    """Turn a seed into a JAX key.

    Raises:
        SeedError: if `seed` is neither an int nor one JAX key.
    """
    if isinstance(seed, jax.Array):
        if jnp.issubdtype(seed.dtype, jax.dtypes.prng_key) and seed.ndim == 0:
            return seed
        if seed.dtype == jnp.uint32 and seed.shape == (2,):
            return jax.random.wrap_key_data(seed)
    elif isinstance(seed, int | np.integer) and not isinstance(seed, bool):
        return jax.random.key(int(seed) % 2**63)
    raise SeedError(
        f"expected a seed that is an int or one JAX key, got {seed!r} of type "
        f"{type(seed).__name__}; pass for example seed=0 or seed=jax.random.key(0)"
    )


def stream(seed: Seed, name: str) -> Key:
    """A key of a verb's own, so that the same seed does not give two verbs the same numbers.

    Data simulated with a seed would otherwise share their noise with draws made with that seed.

    Raises:
        SeedError: if `seed` is neither an int nor one JAX key.
    """
    return jax.random.fold_in(as_key(seed), zlib.crc32(name.encode()))
