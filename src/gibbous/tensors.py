"""Trees of arrays in one safetensors file, with a JSON header: no pickle, no code.

The file is written aside and moved into place, so that a kill leaves the old one or the new one,
never half of one. A SHA-256 over header and arrays tells a damaged or edited file from a whole one.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from gibbous.errors import ArtefactError

FORMAT = 1


def write(path: str | Path, arrays: Mapping[str, np.ndarray], header: Mapping[str, Any]) -> None:
    """Write named arrays and a JSON-able header to `path`, atomically."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {name: np.asarray(a, order="C") for name, a in arrays.items()}
    text = json.dumps({"format": FORMAT, **header})
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        save_file(arrays, aside, {"gibbous": text, "sha256": _digest(text, arrays)})
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def read(path: str | Path, kind: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read what `write` wrote, if its header's "kind" is `kind`.

    Raises:
        ArtefactError: if there is no such file, or it is cut short, changed since it was written,
            of a newer format, or of another kind.
    """
    path = Path(path)
    if not path.is_file():
        raise ArtefactError(f"no file {path}")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ArtefactError(
            f"{path} cannot be read: it is cut short, damaged, or no gibbous file ({error})"
        ) from None
    if "gibbous" not in metadata:
        raise ArtefactError(f"{path} is a safetensors file, but gibbous did not write it")
    try:
        header = json.loads(metadata["gibbous"])
        version = int(header["format"])
    except (ValueError, KeyError, TypeError):
        raise ArtefactError(f"{path} has a damaged header") from None
    if version > FORMAT:
        raise ArtefactError(
            f"{path} has format {version}, newer than the {FORMAT} that this gibbous reads: "
            "update gibbous"
        )
    if metadata.get("sha256") != _digest(metadata["gibbous"], arrays):
        raise ArtefactError(f"{path} was changed after it was written: its checksum is wrong")
    if header.get("kind") != kind:
        raise ArtefactError(f"expected a {kind} in {path}, found a {header.get('kind')}")
    return arrays, header


def flatten(tree: Any) -> dict[str, np.ndarray]:
    """The array leaves of a tree (None and non-arrays dropped), named by their position."""
    leaves = [leaf for leaf in jax.tree.leaves(tree) if _is_array(leaf)]
    return {f"{i:06d}": _raw(leaf) for i, leaf in enumerate(leaves)}


def restore(tree: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    """Put arrays named by `flatten` into a tree of the same structure.

    Raises:
        ArtefactError: if number, shapes or types of the arrays do not fit the tree.
    """
    leaves, structure = jax.tree.flatten(tree)
    places = [i for i, leaf in enumerate(leaves) if _is_array(leaf)]
    if len(places) != len(arrays):
        raise ArtefactError(f"expected {len(places)} arrays, found {len(arrays)}")
    for name, i in zip(sorted(arrays), places, strict=True):
        value, like = arrays[name], leaves[i]
        raw = jax.eval_shape(jax.random.key_data, like) if _is_key(like) else like
        if value.shape != raw.shape or value.dtype != raw.dtype:
            raise ArtefactError(
                f"expected an array {raw.dtype}{raw.shape}, found {value.dtype}{value.shape}"
            )
        array = jax.numpy.asarray(value)
        leaves[i] = jax.random.wrap_key_data(array) if _is_key(like) else array
    return jax.tree.unflatten(structure, leaves)


def _is_array(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array | np.ndarray | jax.ShapeDtypeStruct)


def _is_key(leaf: Any) -> bool:
    return jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _raw(leaf: Any) -> np.ndarray:
    return np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf)


def _digest(text: str, arrays: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        digest.update(f"{name}{arrays[name].dtype}{arrays[name].shape}".encode())
        digest.update(arrays[name].tobytes())
    return digest.hexdigest()
