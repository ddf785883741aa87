"""Any arrays are read whole or refused in one line, and `init` says what training does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hptune.config.load import parse_value
from hptune.config.starter import write_starter
from hptune.data import DataSpec, load
from hptune.data.inspect import inspect
from hptune.errors import InputError

PAIRS = [
    *(("x", "y"), ("X", "Y"), ("images", "labels"), ("train_images", "train_labels")),
    *(("x_train", "y_train"), ("trainX", "trainY"), ("training_data", "training_targets")),
    *(("arr_0", "arr_1"), ("x", "train_labels"), ("pictures", "y")),
]
OTHERS = ["ids", "x_val", "y_val", "x_test", "y_test", "meta", "test_images"]
TYPES = [
    *("bool", "u1", "i1", "u2", "i4", "i8", "u8", ">i2", "f2", "f4", "f8", ">f4"),
    *("c8", "U3", "S2", "M8[s]", "O"),
]
SIZES = st.sampled_from([1, 2, 3, 4, 5, 8, 13])


def array(shape: tuple[int, ...], dtype: str, values: str, rng: np.random.Generator) -> Any:
    """Return an array of values of one sort: few, constant, wide, one-hot, or with holes."""
    sort = np.dtype(dtype).kind
    if values == "one-hot" and len(shape) == 2 and shape[1]:
        made: Any = np.eye(shape[1])[rng.integers(0, shape[1], shape[0])]
    elif values == "constant":
        made = np.ones(shape)
    elif values == "wide":
        made = rng.normal(size=shape) * (1e30 if dtype == "f8" else 100)
    else:
        made = rng.integers(0, 3, shape)
    if sort in "US":
        return made.astype(int).astype(dtype)
    if sort == "M":
        return made.astype("i8").astype(dtype)
    with np.errstate(all="ignore"):
        made = made.astype(dtype)
    if values == "holes" and sort == "f" and made.size:
        made.reshape(-1)[0] = rng.choice([np.nan, np.inf])
    return made


@st.composite
def files(draw: st.DrawFn) -> dict[str, Any]:
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    count = draw(st.sampled_from([40, 60, 60, 7, 2, 1, 0]))
    values = st.sampled_from(["few", "few", "wide", "one-hot", "constant", "holes"])
    pair = draw(st.sampled_from(PAIRS))
    found = {}
    for name in (*pair, *draw(st.lists(st.sampled_from(OTHERS), max_size=2))):
        size = count + (draw(st.integers(0, 19)) == 19)
        tail = draw(st.lists(SIZES, max_size=1 if name == pair[1] else 5))
        dtype = draw(st.sampled_from(draw(st.sampled_from([["f4", "u1", "i8"], TYPES]))))
        found[name] = array((size, *tail), dtype, draw(values), rng)
    return found


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(arrays=files())
def test_any_arrays_are_read_whole_or_refused_in_one_line(
    arrays: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
):
    path: Path = tmp_path_factory.getbasetemp() / "any.npz"
    np.savez(path, **arrays)
    try:
        found = inspect(path)
    except InputError as error:
        assert "\n" not in str(error) and ";" in str(error)
        with pytest.raises(InputError):
            load(DataSpec(name="npz", path=str(path)))
        return
    text = write_starter(found, str(path), name="any", summary=found.describe(), file="a.yaml")
    spec = DataSpec(**parse_value(text, "a.yaml")["data"])
    if found.problems:
        with pytest.raises(InputError) as refused:
            load(spec)
        assert "\n" not in str(refused.value)
        return
    splits = load(spec)
    assert found.warnings == splits.notes
    parts = [splits.train, splits.validation, *([splits.test] if splits.test else [])]
    assert sum(map(len, parts)) == sum(found.parts.values())
    said = " ".join(note.split(": ")[1] for note in splits.notes if "not read" in note)
    assert len(arrays) - len(said.split()) == 2 * len(found.parts)
    values, targets = list(arrays.values())[:2]
    if any(note.startswith("array 'arr_1'") for note in splits.notes):  # taken for the inputs
        values, targets = targets, values
    assert int(np.prod(splits.input_shape)) == int(np.prod(values.shape[1:]))
    for part in parts:
        assert all(leaf.isfinite().all() for leaf in next(iter(part.batches(100))))
    if splits.kind == "classification":
        assert splits.outputs == len(splits.classes) >= 2
        if targets.size == len(targets) and len(found.parts) == 1:
            assert splits.outputs == len(np.unique(targets))
