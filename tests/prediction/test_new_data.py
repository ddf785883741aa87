"""New data as people have them: a csv to submit, images, arrays, with and without targets."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import hptune
from hptune.cli import run
from tests.prediction.conftest import Trained, passengers


@pytest.fixture(scope="module")
def models(trained: dict[str, Trained]) -> dict[str, hptune.Predictor]:
    return {name: hptune.load_run(one.run, device="cpu") for name, one in trained.items()}


def test_a_csv_without_its_target_in_any_order_gives_a_submission(
    models: dict[str, hptune.Predictor], tmp_path: Path
):
    given = passengers(50, 3)
    plain = given.drop(columns=["Survived", "Price"])
    shuffled = plain[plain.columns[::-1]].assign(Extra=1)
    shuffled.to_csv(tmp_path / "test.csv", index=False)
    found = models["table"].predict(tmp_path / "test.csv")
    table = found.frame()
    assert list(table) == ["PassengerId", "Survived"]
    assert list(table.PassengerId) == [str(k) for k in given.PassengerId]
    assert set(table.Survived) == {"Yes", "No"}
    assert np.mean(table.Survived == given.Survived) > 0.6
    assert found.loss is None and any("'Extra'" in note for note in found.notes)
    shares = found.frame(probabilities=True)
    assert list(shares) == ["PassengerId", "No", "Yes"]
    assert np.allclose(shares.No + shares.Yes, 1)
    # As a DataFrame it means the same.
    assert (models["table"].predict(plain).values == found.values).all()


def test_cells_that_training_never_saw_are_told(models: dict[str, hptune.Predictor]):
    given = passengers(20, 3).drop(columns=["Survived"])
    given["Port"] = given["Port"].where(given.index != 3, "Hamburg")
    given["Fare"] = given["Fare"].where(given.index != 4)
    notes = " ".join(models["table"].predict(given).notes)
    assert "1 in 'Port'" in notes and "1 in 'Fare'" in notes


def test_a_table_with_some_targets_is_measured_on_these(models: dict[str, hptune.Predictor]):
    given = passengers(40, 3).drop(columns="Price")
    known = given.Survived.where(given.index < 30)
    found = models["table"].predict(given.assign(Survived=known))
    right = np.mean(found.labels[:30] == given.Survived[:30])
    assert found.with_targets == 30 and len(found) == 40
    assert found.metrics["accuracy"] == pytest.approx(right)


def test_a_regression_is_in_the_units_of_its_target(models: dict[str, hptune.Predictor]):
    given = passengers(60, 3).drop(columns="Survived")
    found = models["prices"].predict(given)
    assert list(found.frame()) == ["PassengerId", "Price"]
    assert abs(found.values.mean() - given.Price.mean()) < given.Price.std()


def test_another_column_may_name_the_rows(models: dict[str, hptune.Predictor]):
    given = passengers(12, 3).drop(columns=["Survived", "Price"]).assign(Code="007")
    table = models["table"].predict(given, id_column="Code").frame()
    assert list(table) == ["Code", "Survived"] and set(table.Code) == {"007"}


def test_dates_are_read_as_in_training_where_a_few_rows_do_not_tell(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    days = pd.date_range("2020-01-01", periods=120, freq="3D")
    late = np.where(days.month > 6, "late", "early")
    table = pd.DataFrame({"day": days.strftime("%d/%m/%Y"), "half": late})
    table.to_csv("train.csv", index=False)
    words = (
        "train --epochs 8 --lr 0.1 --batch-size 16 --jobs 1 --quiet --device cpu --out run --set"
    )
    settings = ["data.name=csv", "--set", "data.path=train.csv", "--set", "data.target=half"]
    assert run([*words.split(), *settings]) == 0
    model = hptune.load_run("run", device="cpu")
    few = ["05/01/2020", "05/12/2020", "09/02/2020"]
    expected = model.predict(pd.DataFrame({"day": [*few, "28/12/2020"]}))
    found = model.predict(pd.DataFrame({"day": few}))
    assert list(found.labels) == list(expected.labels[:3]) == ["early", "late", "early"]
    iso = pd.DataFrame({"day": pd.to_datetime(few, format="%d/%m/%Y")})
    assert np.allclose(model.predict(iso).probabilities, found.probabilities)


def test_a_missing_column_is_one_line(models: dict[str, hptune.Predictor]):
    with pytest.raises(hptune.InputError, match="no column 'Fare'"):
        models["table"].predict(passengers(12, 3).drop(columns="Fare"))
    with pytest.raises(hptune.InputError, match=r"--id: 'Passenger'.*PassengerId"):
        models["table"].predict(passengers(12, 3), id_column="Passenger")


def test_images_with_and_without_class_folders(
    models: dict[str, hptune.Predictor], trained: dict[str, Trained], tmp_path: Path
):
    folder = trained["images"].new
    assert folder is not None
    (tmp_path / "new").mkdir()
    for k in range(4):
        shutil.copy(folder / "rose" / f"{k}.png", tmp_path / "new" / f"rose {k}.png")
    (tmp_path / "new" / "broken.png").write_bytes(b"no image")
    found, whole = (models["images"].predict(path) for path in (tmp_path / "new", folder))
    assert list(found.ids) == [f"rose {k}.png" for k in range(4)] and found.loss is None
    assert "left out: 1 (broken.png" in " ".join(found.notes)
    of_whole = dict(zip(whole.ids, whole.probabilities.tolist(), strict=True))
    for k, share in enumerate(found.probabilities):
        assert np.allclose(share, of_whole[f"rose/{k}.png"], atol=1e-6)
    assert whole.with_targets == 30 and whole.id_name == "file"
    one = models["images"].predict(tmp_path / "new" / "rose 1.png")
    two = models["images"].predict([folder / "rose" / "1.png", folder / "daisy" / "1.png"])
    assert len(one) == 1 and list(two.ids) == [str(folder / c / "1.png") for c in ("rose", "daisy")]


def test_arrays_with_and_without_targets(
    models: dict[str, hptune.Predictor], trained: dict[str, Trained], tmp_path: Path
):
    new = np.load(trained["npz"].new)
    x, y = new["x"], new["y"]
    np.save(tmp_path / "only.npy", x)
    np.savez(tmp_path / "named.npz", pictures=x)
    expected = models["npz"].predict((x, y))
    assert expected.metrics["accuracy"] == pytest.approx(np.mean(expected.labels == y))
    for given in (
        x,
        x.transpose(0, 3, 1, 2),
        list(x),
        tmp_path / "only.npy",
        tmp_path / "named.npz",
    ):
        found = models["npz"].predict(given)
        assert (found.values == expected.values).all() and found.loss is None
    Image.fromarray(x[0]).save(tmp_path / "one.png")  # trained on such pixels, though in an npz
    assert models["npz"].predict(tmp_path / "one.png").labels[0] == expected.labels[0]


def test_inputs_of_another_scale_or_shape_are_told(models: dict[str, hptune.Predictor]):
    images = np.random.default_rng(0).integers(0, 255, (9, 8, 8, 3)).astype(np.uint8)
    assert "far from those of training" in " ".join(models["npz"].predict(images / 255).notes)
    assert not models["npz"].predict(images).notes
    with pytest.raises(hptune.InputError, match=r"examples of \(3, 8, 8\)"):
        models["npz"].predict(images[:, :5])
    with pytest.raises(hptune.InputError, match="must be a csv or a DataFrame"):
        models["table"].predict(images)


def test_seeds_predict_together_by_their_mean(trained: dict[str, Trained]):
    place = trained["digits"].run
    both = hptune.load_run(place, ensemble=True, device="cpu")
    assert len(both.trials) == 2 and both.trials[0] == trained["digits"].row["trial"]
    single = [
        hptune.load_run(place, trial=t, device="cpu").predict().probabilities for t in both.trials
    ]
    found = both.predict()
    assert np.allclose(found.probabilities, (single[0] + single[1]) / 2, atol=1e-6)
    assert found.with_targets and found.metrics["accuracy"] > 0.5


def test_code_that_has_changed_is_told(
    trained: dict[str, Trained], monkeypatch: pytest.MonkeyPatch
):
    place = trained["own"].run
    monkeypatch.chdir(place.parents[1])  # where its module is
    x = np.random.default_rng(5).normal(3, 2, (9, 5))
    assert not hptune.load_run(place).predict(x).notes
    path = Path("own_net.py")
    text = path.read_text()
    path.write_text(text.replace("nn.ReLU()", "nn.Tanh()"))
    monkeypatch.delitem(sys.modules, "own_net")
    try:
        notes = hptune.load_run(place).predict(x).notes
    finally:
        path.write_text(text)
        monkeypatch.delitem(sys.modules, "own_net")
    assert "changed since these weights were trained: own_net.py" in " ".join(notes)


def test_what_cannot_predict_says_so(trained: dict[str, Trained], tmp_path: Path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(hptune.InputError, match="no trained model"):
        hptune.load_run(tmp_path / "empty")
    old = tmp_path / "old"
    shutil.copytree(trained["digits"].run, old)
    import torch

    for path in (old / "checkpoints").glob("*.pt"):
        state = torch.load(path, weights_only=True)
        del state["signature"]
        torch.save(state, path)
    with pytest.raises(hptune.InputError, match="does not say what the model takes"):
        hptune.load_run(old)
