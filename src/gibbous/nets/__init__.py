"""Embeddings. A new one is a file here and a line in `EMBEDDINGS`."""

from gibbous.nets.base import AbstractEmbedding, Embedding
from gibbous.nets.cnn import CNN
from gibbous.nets.deepset import DeepSet
from gibbous.nets.indicators import Indicators
from gibbous.nets.mlp import MLP, Identity
from gibbous.nets.set_transformer import SetTransformer

EMBEDDINGS: dict[str, type[AbstractEmbedding]] = {
    "CNN": CNN,
    "DeepSet": DeepSet,
    "SetTransformer": SetTransformer,
    "MLP": MLP,
    "Identity": Identity,
    "Indicators": Indicators,
}

__all__ = [
    "CNN",
    "EMBEDDINGS",
    "MLP",
    "AbstractEmbedding",
    "DeepSet",
    "Embedding",
    "Identity",
    "Indicators",
    "SetTransformer",
]
