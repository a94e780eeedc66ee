"""Trains handlers/pumps/model.onnx, which says how likely a pump fails within 30 days.

The readings are made by this script: random numbers, and a rule that decides which pump fails. A
quarter of them is held out: never trained on, only measured. The model is a pipeline of
scikit-learn with gradient boosting, exported by skl2onnx: one input for each column of the table.
"""

import os

# One thread and one kind of kernel: sums are taken in the same order, so a second run writes the
# same bytes.
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["OPENBLAS_CORETYPE"] = "Haswell"

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

SEED = 0
PUMPS = 4000
HELD_OUT = 1000
FOLDER = Path(__file__).parent / "handlers" / "pumps"
KINDS = ["centrifugal", "diaphragm", "gear"]
NUMBERS = ["hours", "temperature", "vibration", "pressure"]


def main():
    rng = np.random.default_rng(SEED)
    table, fails = make_pumps(rng)
    train, test = slice(HELD_OUT, None), slice(0, HELD_OUT)
    columns = ColumnTransformer(
        [("kind", OneHotEncoder(categories=[KINDS], handle_unknown="ignore"), [0])],
        remainder="passthrough",
    )
    trees = GradientBoostingClassifier(n_estimators=40, max_depth=3, random_state=SEED)
    pipeline = make_pipeline(columns, trees).fit(as_rows(table, train), fails[train])
    FOLDER.mkdir(exist_ok=True)
    model = export(pipeline)
    onnx.save(model, FOLDER / "model.onnx")
    write_samples(table, pipeline)
    report(table, fails, test)


def make_pumps(rng):
    """Columns of readings, and for each pump whether it fails."""
    kind = rng.choice(KINDS, PUMPS, p=[0.6, 0.2, 0.2])
    hours = np.rint(rng.gamma(2.0, 1500, PUMPS))
    temperature = np.round(rng.normal(58, 9, PUMPS) + hours / 1000, 1)
    vibration = np.round(rng.gamma(4.0, 0.6, PUMPS), 1)
    pressure = np.round(rng.normal(6, 0.8, PUMPS), 1)
    odds = (
        -5.0
        + hours / 2500
        + 0.08 * np.maximum(temperature - 65, 0)
        + 1.1 * np.maximum(vibration - 3, 0)
        + 0.9 * np.abs(pressure - 6)
        + np.where(kind == "gear", 0.7, 0)
    )
    fails = rng.random(PUMPS) < 1 / (1 + np.exp(-odds))
    table = {
        "kind": kind,
        "hours": hours,
        "temperature": temperature,
        "vibration": vibration,
        "pressure": pressure,
    }
    return table, fails.astype(np.int64)


def as_rows(table, part):
    return np.column_stack(
        [table["kind"][part].astype(object)]
        + [table[name][part].astype(np.float32) for name in NUMBERS]
    )


def export(pipeline):
    inputs = [("kind", StringTensorType([None, 1]))]
    inputs += [(name, FloatTensorType([None, 1])) for name in NUMBERS]
    model = to_onnx(
        pipeline, initial_types=inputs, target_opset={"": 17, "ai.onnx.ml": 3}, options={"zipmap": False}
    )
    model.producer_name = "onnxd examples"
    # skl2onnx gives each graph another name.
    model.graph.name = "pumps"
    return model


def write_samples(table, pipeline):
    """Held-out pumps in good, doubtful and bad order as records, and what Python says about them."""
    all_rows = pipeline.predict_proba(as_rows(table, slice(0, HELD_OUT)))[:, 1]
    places = [int(np.abs(all_rows - wanted).argmin()) for wanted in (0.02, 0.5, 0.9)]
    probabilities = all_rows[places]
    records = [
        {"kind": str(table["kind"][place])}
        | {name: float(table[name][place]) for name in NUMBERS}
        for place in places
    ]
    (FOLDER / "samples.json").write_text(
        json.dumps(
            [
                {"pump": record, "probability": round(float(probability), 6)}
                for record, probability in zip(records, probabilities)
            ],
            indent=1,
        )
        + "\n"
    )


def report(table, fails, part):
    """Prints how well held-out pumps are ranked, measured with the file that was written."""
    session = onnxruntime.InferenceSession(FOLDER / "model.onnx")
    feed = {name: table[name][part].astype(np.float32).reshape(-1, 1) for name in NUMBERS}
    feed["kind"] = table["kind"][part].astype(object).reshape(-1, 1)
    (probabilities,) = session.run(["probabilities"], feed)
    area = roc_auc_score(fails[part], probabilities[:, 1])
    print(f"pumps: area under the ROC curve {area:.3f} on {len(fails[part])} held-out pumps")


if __name__ == "__main__":
    main()
