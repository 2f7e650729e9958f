"""Recipes: values made of sizes and names, from which networks are built when there are data.

A recipe such as `NPE(DeepSet())` travels as JSON, its class by name; restoring looks the name up in
a registry that the caller gives, so that no code is ever read from a file.
"""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import equinox as eqx

from gibbous.errors import ArtefactError


class AbstractRecipe(eqx.Module):
    """A value whose fields are all that has to be saved of it."""


def describe(value: Any) -> Any:
    """A recipe as JSON; networks of the user's own become "custom"."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tuple | list):
        return [describe(v) for v in value]
    if isinstance(value, AbstractRecipe):
        inner = {f.name: describe(getattr(value, f.name)) for f in fields(value)}
        return {"type": type(value).__name__, "fields": inner}
    return {"type": "custom", "name": type(value).__name__}


def restore(value: Any, registry: Mapping[str, type], path: str | Path) -> Any:
    """The recipe that `describe` wrote.

    Raises:
        ArtefactError: if it names what is not in the registry, or does not fit it.
    """
    if isinstance(value, list):
        return tuple(restore(v, registry, path) for v in value)
    if not isinstance(value, dict):
        return value
    name = str(value.get("type"))
    if name not in registry:
        raise ArtefactError(
            f"{path} holds a network that is not gibbous' own ({value.get('name', name)}); pass "
            "the method that it was fitted with: gb.load(path, method=gb.NPE(embedding=...))"
        )
    try:
        return registry[name](**{k: restore(v, registry, path) for k, v in value["fields"].items()})
    except (TypeError, KeyError, AttributeError) as error:
        raise ArtefactError(f"{path} has an unknown recipe of {name}: {error}") from None
