"""Convolutions: an embedding of an image, beside histograms of its pixels at several scales.

    e = [ Phi( mean h_1, std h_1, ..., mean h_L, std h_L, s ), s ],      h_l = a(W_l p(h_{l-1})),

h_0 = x, p the patches of an image at steps of two pixels, 4 x 4 overlapping ones of the first and
2 x 2 of each later one, so that W_l is a convolution of stride 2; a the activation; means and
standard deviations over all places of a layer: a Deep Set (Zaheer et al. 2017, arXiv 1703.06114) of
ever larger patches. (Written as products of matrices: a convolution that XLA compiles for a CPU
inside a loop, where all training is, took ten times as long.)

s are the statistics of which a mean of learnt features would have to be a precise copy: histograms
of the image and of its starlet transform (Starck, Fadili & Murtagh 2007), which parts an image into
bands, each twice as wide as the one before,

    x = w_1 + ... + w_J + c_J,      c_j = B_j * c_{j-1},      w_j = c_{j-1} - c_j,      c_0 = x,

B_j the B-spline (1, 4, 6, 4, 1) / 16 along both axes with steps of 2^(j-1) pixels (histograms of
such bands as a summary of a map: Ajani et al. 2021, arXiv 2101.01542). Bins end at quantiles of the
images that the fit begins with, closer in the tails; what is fed on is the square root of the
number in each, whose noise is everywhere about the same.

Shapes: x [h, w, channels], e [size + statistics].
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import paramax
from jaxtyping import Array, Float

from gibbous._types import Key
from gibbous.errors import ConfigError, ShapeError
from gibbous.nets.base import AbstractArrayEmbedding, activation

_SPLINE = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)
_TAIL = 2e-4  # share of the pixels in the first bin and in the last
_LOOK = 1_024  # images that bins are chosen by
_FIRST, _LATER = 4, 2  # pixels along the side of a patch, in the first layer and in later ones


class CNN(AbstractArrayEmbedding):
    """An embedding for images, [h, w, channels].

    Args:
        layers: convolutions, each of stride 2; 0 leaves nothing but the statistics to be learnt of.
        channels: features in each layer.
        scales: J of the starlet transform. bins: of each histogram; 0 leaves the statistics out.
        size: length of the learnt part of the embedding.
        width, depth: of Phi. activation: name of a function of `jax.nn`.
        periodic: the image goes on at its opposite edge; otherwise its edge pixels are repeated.
    """

    layers: int = 2
    channels: int = 8
    scales: int = 3
    bins: int = 16
    size: int = 32
    width: int = 64
    depth: int = 2
    activation: str = "silu"
    periodic: bool = False

    def __check_init__(self):
        if min(self.layers, self.scales, self.bins) < 0 or not (self.layers or self.bins):
            raise ConfigError(
                "expected layers, scales and bins of at least 0, and layers or bins, got "
                f"{self.layers}, {self.scales} and {self.bins}"
            )

    def build(
        self, key: Key, x: Float[Array, "rows h w channels"], mask: Array | None = None
    ) -> "_CNN":
        """Make the network; bins and standardisation are those of the images in `x`.

        Raises:
            ShapeError: if a dataset is no image, or not of a size for so many layers or scales.
        """
        if x.ndim != 4:
            raise ShapeError(
                f"gb.CNN takes images [h, w, channels], got datasets of shape {x.shape[1:]}; "
                "one channel is x[..., None]"
            )
        step, least = 2**self.layers, 2 ** (self.scales + 1) if self.bins else 1
        if any(side % step or side < max(step, least) for side in x.shape[1:3]):
            raise ShapeError(
                f"{self.layers} layers and {self.scales} scales take images whose sides are "
                f"multiples of {step}, of at least {least} pixels; got {x.shape[1:3]}: choose fewer"
            )
        return _CNN(key, self, x)


class _CNN(eqx.Module):
    weights: list[Array]  # W_l [in, out]
    rho: eqx.nn.MLP
    ends: paramax.NonTrainable  # of the bins [maps, channels, bins - 1]
    centre: paramax.NonTrainable  # standardisation of the statistics
    spread: paramax.NonTrainable
    function: Callable[[Array], Array] = eqx.field(static=True)
    mode: str = eqx.field(static=True)
    scales: int = eqx.field(static=True)

    def __init__(self, key: Key, recipe: CNN, x: Array):
        keys = jax.random.split(key, recipe.layers + 1)
        self.function = activation(recipe.activation)
        self.mode = "wrap" if recipe.periodic else "edge"
        self.scales = recipe.scales
        out = recipe.channels
        into = [_FIRST**2 * x.shape[3], *[_LATER**2 * out] * recipe.layers][: recipe.layers]
        self.weights = [
            jax.random.normal(k, (n, out)) / n**0.5 for k, n in zip(keys[1:], into, strict=True)
        ]
        share = jax.nn.sigmoid(jnp.linspace(-1, 1, max(recipe.bins - 1, 0)) * -np.log(_TAIL))
        maps = jax.vmap(lambda row: starlet(row, self.scales, self.mode))(x[:_LOOK])
        ends = jnp.quantile(maps, share, axis=(0, 2, 3))  # [bins - 1, maps, channels]
        self.ends = paramax.NonTrainable(jnp.moveaxis(ends, 0, -1))
        s = jax.vmap(self._statistics)(x)
        centre, spread = s.mean(axis=0), s.std(axis=0)
        self.centre = paramax.NonTrainable(centre)
        self.spread = paramax.NonTrainable(jnp.where(spread > 1e-6, spread, 1.0))
        pooled = 2 * out * recipe.layers + s.shape[1]
        self.rho = eqx.nn.MLP(
            pooled, recipe.size, recipe.width, recipe.depth, self.function, key=keys[0]
        )

    def __call__(self, x: Float[Array, "h w channels"], mask: Array | None) -> Float[Array, " e"]:
        if mask is not None:
            raise ShapeError("gb.CNN takes whole images: every one of the same shape, no mask")
        s = self._statistics(x)
        s = (s - paramax.unwrap(self.centre)) / paramax.unwrap(self.spread)
        pooled, h = [], x
        for i, weights in enumerate(self.weights):
            patches = _overlapping(h, self.mode) if i == 0 else _merged(h)
            h = self.function(patches @ weights)
            pooled += [jnp.mean(h, axis=(0, 1)), jnp.sqrt(jnp.var(h, axis=(0, 1)) + 1e-6)]
        return jnp.concatenate([self.rho(jnp.concatenate([*pooled, s])), s])

    def _statistics(self, x: Array) -> Array:
        ends = paramax.unwrap(self.ends)
        if ends.shape[-1] == 0:
            return jnp.zeros(0)
        maps = starlet(x, self.scales, self.mode).transpose(0, 3, 1, 2)
        return jnp.sqrt(jax.vmap(jax.vmap(histogram))(maps, ends)).reshape(-1)


def starlet(x: Float[Array, "h w c"], scales: int, mode: str = "wrap") -> Float[Array, "m h w c"]:
    """The image, then w_1, ..., w_J, c_J, which add up to it: m = scales + 2 maps.

    `mode` is how the image goes on beyond its edges, as in `numpy.pad`.
    """
    maps, c = [x], x
    for j in range(scales):
        wider = _blur(c, 2**j, mode)
        maps, c = [*maps, c - wider], wider
    return jnp.stack([*maps, c])


def histogram(m: Float[Array, "h w"], ends: Float[Array, " k"]) -> Float[Array, " k+1"]:
    """How many pixels lie at or below the first end, between each two, and above the last."""
    which = jnp.searchsorted(ends, m.reshape(-1), method="compare_all")
    return jnp.zeros(len(ends) + 1).at[which].add(1.0)


def _blur(x: Array, step: int, mode: str) -> Array:
    """Sums of shifted images: on a CPU much faster than a convolution."""
    h, w, reach = x.shape[0], x.shape[1], 2 * step
    x = jnp.pad(x, ((reach, reach), (reach, reach), (0, 0)), mode=mode)
    zero = jnp.zeros(())
    x = sum((b * x[i * step : i * step + h] for i, b in enumerate(_SPLINE)), zero)
    return sum((b * x[:, i * step : i * step + w] for i, b in enumerate(_SPLINE)), zero)


def _overlapping(x: Array, mode: str) -> Array:
    """Patches of 4 x 4 at steps of 2: [h / 2, w / 2, 16 channels]."""
    h, w = x.shape[:2]
    x = jnp.pad(x, ((1, 1), (1, 1), (0, 0)), mode=mode)
    shifts = [x[i : i + h : 2, j : j + w : 2] for i in range(_FIRST) for j in range(_FIRST)]
    return jnp.concatenate(shifts, axis=-1)


def _merged(x: Array) -> Array:
    """Patches of 2 x 2 side by side: [h / 2, w / 2, 4 channels]."""
    h, w, c = x.shape
    x = x.reshape(h // 2, 2, w // 2, 2, c).transpose(0, 2, 1, 3, 4)
    return x.reshape(h // 2, w // 2, _LATER**2 * c)
