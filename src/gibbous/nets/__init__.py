"""Embeddings. A new one is a file here and a line in `EMBEDDINGS`."""

from gibbous.nets.base import AbstractEmbedding, Embedding
from gibbous.nets.deepset import DeepSet
from gibbous.nets.mlp import MLP, Identity

EMBEDDINGS: dict[str, type[AbstractEmbedding]] = {
    "DeepSet": DeepSet,
    "MLP": MLP,
    "Identity": Identity,
}

__all__ = ["EMBEDDINGS", "MLP", "AbstractEmbedding", "DeepSet", "Embedding", "Identity"]
