"""What a model that was trained in Python does with new data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hptune.prediction.predictions import Predictions
from hptune.prediction.predictor import Predictor


class Predicts:
    """Has a trained model."""

    def _predictor(self, ensemble: bool, device: str) -> Predictor:
        raise NotImplementedError

    def predict(
        self,
        data: Any = None,
        *,
        id_column: str | None = None,
        ensemble: bool = False,
        device: str = "auto",
    ) -> Predictions:
        """Predict new data, and where they have targets also say how well.

        Args:
            data: In any form that `hptune.Task` takes, with or without targets; None reads the
                task's own test split.
            id_column: Of a table, the column that names the rows.
            ensemble: Whether all seeds predict together, by the mean of their probabilities.
            device: On which to predict.

        Raises:
            InputError: The data are not what the model takes; the line says what to change.
        """
        return self._predictor(ensemble, device).predict(data, id_column=id_column)

    def export(
        self, path: str | Path, format: str | None = None, *, ensemble: bool = False
    ) -> Path:
        """Write the trained model to a file: .pt (torch), .ts (TorchScript) or .onnx.

        Args:
            path: The file.
            format: "torch", "torchscript" or "onnx"; None goes by the file's ending.
            ensemble: Whether all seeds are written as one model.

        Raises:
            InputError: No such format, or the model cannot be written in it.
        """
        return self._predictor(ensemble, "cpu").export(path, format)
