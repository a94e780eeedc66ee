"""Trains iris/model.onnx on scikit-learn's iris flowers and writes labels and sample requests.

150 flowers, four lengths in centimetres each, three species. A third is held out: never trained on,
only measured, and the samples come from it. The scaling of the features is part of the graph, so a
request carries plain centimetres.
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
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

SEED = 0
FOLDER = Path(__file__).parent / "iris"


def main():
    flowers = load_iris()
    species = [str(name) for name in flowers.target_names]
    train_x, test_x, train_y, test_y = train_test_split(
        flowers.data, flowers.target, test_size=1 / 3, stratify=flowers.target, random_state=SEED
    )
    scaler = StandardScaler().fit(train_x)
    classifier = LogisticRegression(C=10, max_iter=1000).fit(scaler.transform(train_x), train_y)
    FOLDER.mkdir(exist_ok=True)
    onnx.save(build_graph(scaler, classifier), FOLDER / "model.onnx")
    (FOLDER / "labels.txt").write_text("".join(f"{name}\n" for name in species))
    write_samples(test_x, test_y, species)
    report(test_x, test_y)


def build_graph(scaler, classifier):
    """features [N, 4] in centimetres -> scaled -> linear -> probabilities [N, 3] and label [N]."""
    constants = {
        "mean": scaler.mean_,
        "deviation": scaler.scale_,
        "weights": classifier.coef_.T,
        "biases": classifier.intercept_,
    }
    nodes = [
        helper.make_node("Sub", ["features", "mean"], ["centred"]),
        helper.make_node("Div", ["centred", "deviation"], ["scaled"]),
        helper.make_node("Gemm", ["scaled", "weights", "biases"], ["scores"]),
        helper.make_node("ArgMax", ["scores"], ["label"], axis=1, keepdims=0),
        helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "iris",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", 4])],
        [
            helper.make_tensor_value_info("label", TensorProto.INT64, ["N"]),
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", 3]),
        ],
        [
            numpy_helper.from_array(np.ascontiguousarray(value, np.float32), name)
            for name, value in constants.items()
        ],
    )
    model = helper.make_model(
        graph,
        producer_name="onnxd examples",
        ir_version=8,
        opset_imports=[helper.make_opsetid("", 17)],
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def write_samples(rows, classes, species):
    """The first held-out flower of each species: alone, in one batch, as an Open Inference body."""
    folder = FOLDER / "samples"
    folder.mkdir(exist_ok=True)
    firsts = [rows[np.flatnonzero(classes == number)[0]].tolist() for number in range(len(species))]
    for name, row in zip(species, firsts):
        write_json(folder / f"{name}.json", {"features": [row]})
    write_json(folder / "batch.json", {"features": firsts})
    flat = [value for row in firsts for value in row]
    tensor = {"name": "features", "shape": [len(firsts), 4], "datatype": "FP32", "data": flat}
    write_json(folder / "v2.json", {"inputs": [tensor]})


def write_json(file, value):
    file.write_text(json.dumps(value) + "\n")


def report(rows, classes):
    """Prints the accuracy on the held-out flowers, measured with the file that was written."""
    session = onnxruntime.InferenceSession(FOLDER / "model.onnx")
    (labels,) = session.run(["label"], {"features": rows.astype(np.float32)})
    right = int((labels == classes).sum())
    print(f"iris: {right} of {len(classes)} held-out flowers right, {right / len(classes):.2%}")


if __name__ == "__main__":
    main()
