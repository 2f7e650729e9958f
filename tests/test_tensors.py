"""The store: what is written comes back, and a file that cannot be trusted is refused."""

import json
import os
import struct

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from gibbous import tensors
from gibbous.errors import ArtefactError

ARRAYS = {
    "a": np.arange(12, dtype=np.float32).reshape(3, 4),
    "b": np.array(7, np.int32),
    "c": np.array([True, False]),
    "empty": np.zeros((0, 3), np.float32),
}
HEADER = {"kind": "thing", "name": "Γ, 'quoted'", "nested": {"list": [1, 2.5, None]}}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "folder" / "file.gibbous"  # its folder is made on the way
    tensors.write(path, ARRAYS, HEADER)
    return path


def test_round_trip(path):
    arrays, header = tensors.read(path, "thing")
    assert header == {"format": tensors.FORMAT, **HEADER}
    assert set(arrays) == set(ARRAYS)
    for name, want in ARRAYS.items():
        assert (arrays[name].dtype, arrays[name].shape) == (want.dtype, want.shape)
        np.testing.assert_array_equal(arrays[name], want)


def test_views_are_written_as_they_look(tmp_path):
    whole = np.arange(24, dtype=np.float32).reshape(4, 6)
    views = {"transposed": whole.T, "strided": whole[::2, ::-1]}
    tensors.write(tmp_path / "f", views, {"kind": "k"})
    arrays, _ = tensors.read(tmp_path / "f", "k")
    for name, want in views.items():
        np.testing.assert_array_equal(arrays[name], want)


def test_a_failed_write_leaves_the_old_file(path, monkeypatch):
    before = path.read_bytes()

    def fail(*args, **kwargs):
        raise OSError("no space left on device")

    for place, name in ((tensors, "save_file"), (os, "replace")):
        with monkeypatch.context() as patch:
            patch.setattr(place, name, fail)
            with pytest.raises(OSError, match="no space"):
                tensors.write(path, {"a": np.zeros(3)}, HEADER)
        assert path.read_bytes() == before
        assert list(path.parent.iterdir()) == [path]  # and no litter
    with pytest.raises(TypeError):  # a header that is no JSON
        tensors.write(path, ARRAYS, {"kind": object()})
    assert path.read_bytes() == before


def test_an_overwrite_replaces(path):
    tensors.write(path, {"z": np.ones(2)}, {"kind": "thing"})
    arrays, _ = tensors.read(path, "thing")
    assert list(arrays) == ["z"]


def _assert_refused(path, match, kind="thing"):
    with pytest.raises(ArtefactError, match=match) as caught:
        tensors.read(path, kind)
    assert path.name in str(caught.value)


def test_cut_short(path):
    data = path.read_bytes()
    for length in (0, 4, 8, 20, len(data) // 2, len(data) - 40, len(data) - 1):
        path.write_bytes(data[:length])
        _assert_refused(path, "cut short")
    path.write_bytes(data + b"x")
    _assert_refused(path, "damaged")


def test_one_flipped_bit_anywhere_is_noticed(path):
    data = path.read_bytes()
    start = 8 + struct.unpack("<Q", data[:8])[0]  # of the payload
    wanted = {name: a.copy() for name, a in ARRAYS.items()}
    text = data.index(b"quoted")
    places = [*range(0, len(data), 13), text, start, start + 5, len(data) - 1]
    for place in places:
        for bit in (0, 6):
            damaged = bytearray(data)
            damaged[place] ^= 1 << bit
            path.write_bytes(bytes(damaged))
            try:
                arrays, header = tensors.read(path, "thing")
            except ArtefactError:
                continue
            # Only JSON's own slack (spaces at the end of the header) may pass, and it is harmless.
            assert place < start
            assert header == {"format": tensors.FORMAT, **HEADER}
            assert all(np.array_equal(arrays[n], wanted[n]) for n in wanted)
    for place in (text, start, len(data) - 1):
        damaged = bytearray(data)
        damaged[place] ^= 1
        path.write_bytes(bytes(damaged))
        _assert_refused(path, "changed after it was written")


def _edited(path, **changes):
    """Write a file whose header is changed, and whose checksum is right nevertheless."""
    text = json.dumps({"format": tensors.FORMAT, **HEADER, **changes})
    arrays = {"a": ARRAYS["a"]}
    save_file(arrays, path, {"gibbous": text, "sha256": tensors._digest(text, arrays)})


def test_another_format_or_kind(path):
    _edited(path)
    tensors.read(path, "thing")
    _edited(path, format=tensors.FORMAT + 1)
    _assert_refused(path, "newer than .* update gibbous")
    _edited(path, format="two")
    _assert_refused(path, "damaged header")
    tensors.write(path, ARRAYS, HEADER)
    _assert_refused(path, "expected a posterior .* found a thing", kind="posterior")


def test_files_of_others(path):
    save_file({"weight": np.zeros(3, np.float32)}, path)
    _assert_refused(path, "gibbous did not write it")
    save_file({"weight": np.zeros(3, np.float32)}, path, {"gibbous": "{not json"})
    _assert_refused(path, "damaged header")
    save_file({"weight": np.zeros(3, np.float32)}, path, {"gibbous": "[1]"})
    _assert_refused(path, "damaged header")
    path.write_text("theta,x\n1,2\n")
    _assert_refused(path, "no gibbous file")
    _assert_refused(path.parent, "no file")  # a folder
    _assert_refused(path.with_name("elsewhere"), "no file")


def test_a_changed_shape_or_name_changes_the_checksum():
    digest = tensors._digest("{}", {"a": np.zeros((2, 3))})
    others = [
        tensors._digest("{ }", {"a": np.zeros((2, 3))}),
        tensors._digest("{}", {"b": np.zeros((2, 3))}),
        tensors._digest("{}", {"a": np.zeros((3, 2))}),
        tensors._digest("{}", {"a": np.zeros((2, 3), np.int64)}),
    ]
    assert digest not in others


def test_trees_survive_with_their_keys(tmp_path):
    tree = {
        "weights": [jnp.arange(3.0), np.float32(2.0) * np.ones((2, 2), np.float32)],
        "key": jax.random.key(5),
        "step": jnp.array(9, jnp.int32),
        "none": None,
        "function": jnp.tanh,
    }
    tensors.write(tmp_path / "f", tensors.flatten(tree), {"kind": "tree"})
    arrays, _ = tensors.read(tmp_path / "f", "tree")
    blank = {
        "weights": [jnp.zeros(3), jax.ShapeDtypeStruct((2, 2), jnp.float32)],
        "key": jax.random.key(0),
        "step": jnp.array(0, jnp.int32),
        "none": None,
        "function": jnp.sin,
    }
    got = tensors.restore(blank, arrays)
    np.testing.assert_array_equal(got["weights"][0], tree["weights"][0])
    np.testing.assert_array_equal(got["weights"][1], tree["weights"][1])
    assert got["step"] == 9
    assert got["function"] is jnp.sin
    same = jax.random.normal(got["key"], (3,)) == jax.random.normal(tree["key"], (3,))
    assert same.all()


def test_more_than_ten_thousand_leaves_keep_their_order():
    tree = [np.float32([i]) for i in range(10_050)]
    blank = [np.zeros(1, np.float32)] * len(tree)
    got = tensors.restore(blank, tensors.flatten(tree))
    assert [int(g[0]) for g in got[9_990:]] == list(range(9_990, 10_050))


def test_a_tree_of_another_form_is_refused():
    arrays = tensors.flatten([jnp.zeros(3), jnp.zeros((2, 2))])
    with pytest.raises(ArtefactError, match="expected 1 arrays, found 2"):
        tensors.restore([jnp.zeros(3)], arrays)
    with pytest.raises(
        ArtefactError, match=r"expected an array float32\(4,\), found float32\(3,\)"
    ):
        tensors.restore([jnp.zeros(4), jnp.zeros((2, 2))], arrays)
    with pytest.raises(ArtefactError, match="int32"):
        tensors.restore([jnp.zeros(3, jnp.int32), jnp.zeros((2, 2))], arrays)
    with pytest.raises(ArtefactError):
        tensors.restore([jax.random.key(0), jnp.zeros((2, 2))], arrays)
