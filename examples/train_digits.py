"""Trains digits/model.onnx on scikit-learn's handwritten digits and writes labels and samples.

The data set is 1797 digits of 8 x 8 pixels, light ink on a dark ground. A quarter of them is held
out: never trained on, only measured, and the samples come from it. The network is small (three
dense layers); most of the work is in distorting the training digits so that pictures from elsewhere
still work.
"""

import os

# One thread and one kind of kernel: sums are taken in the same order, so a second run writes the
# same bytes.
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["OPENBLAS_CORETYPE"] = "Haswell"

import math
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

SEED = 0
SIZE = 8
HIDDEN = (128, 128)
DISTORTED_COPIES = 40
EPOCHS = 30
SAMPLE_SIZE = 64
FOLDER = Path(__file__).parent / "digits"

Resampling = Image.Resampling


def main():
    digits = load_digits()
    # The data set counts ink from 0 to 16; pictures from 0 to 255.
    pictures = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    train_x, test_x, train_y, test_y = train_test_split(
        pictures, digits.target, test_size=0.25, stratify=digits.target, random_state=SEED
    )
    layers = train(train_x, train_y)
    FOLDER.mkdir(exist_ok=True)
    onnx.save(build_graph(layers), FOLDER / "model.onnx")
    (FOLDER / "labels.txt").write_text("".join(f"{digit}\n" for digit in range(10)))
    write_samples(test_x, test_y)
    report(test_x, test_y)


def train(pictures, classes):
    """Returns the weights and biases of the dense layers."""
    rng = np.random.default_rng(SEED)
    distorted = [distort(picture, rng) for _ in range(DISTORTED_COPIES) for picture in pictures]
    x = np.concatenate([pictures, np.stack(distorted)])
    y = np.tile(classes, 1 + DISTORTED_COPIES)
    network = MLPClassifier(HIDDEN, batch_size=128, max_iter=EPOCHS, random_state=SEED)
    with warnings.catch_warnings():
        # Stopping after a fixed number of epochs is meant.
        warnings.simplefilter("ignore", ConvergenceWarning)
        network.fit(normalise(x), y)
    return [
        (weights.astype(np.float32), biases.astype(np.float32))
        for weights, biases in zip(network.coefs_, network.intercepts_)
    ]


def distort(picture, rng):
    """One digit made smaller, slanted, turned, moved, and scaled in a way a resize may choose."""
    canvas = 32
    enlarge = rng.choice([Resampling.BILINEAR, Resampling.BICUBIC])
    shrink = rng.choice(
        [Resampling.LANCZOS, Resampling.BICUBIC, Resampling.BILINEAR, Resampling.BOX]
    )
    image = Image.fromarray(picture).resize((canvas, canvas), enlarge)
    width = rng.uniform(0.62, 1.1)
    height = width * rng.uniform(0.85, 1.15)
    slant = rng.uniform(-0.15, 0.15)
    angle = math.radians(rng.uniform(-12, 12))
    room = 2 + 0.3 * canvas * max(0, 1 - width)
    shift = rng.uniform(-room, room, 2)

    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    forward = turn @ np.array([[1, slant], [0, 1]]) @ np.diag([width, height])
    # Pillow wants the way back, from a pixel of the result to a point of the source.
    back = np.linalg.inv(forward)
    centre = np.full(2, canvas / 2)
    offset = centre - back @ (centre + shift)
    moved = image.transform(
        (canvas, canvas),
        Image.Transform.AFFINE,
        (*back[0], offset[0], *back[1], offset[1]),
        Resampling.BICUBIC,
    )
    return np.asarray(moved.resize((SIZE, SIZE), shrink))


def normalise(pictures):
    """What the first nodes of the graph do, for training: full contrast. Flat rows of 0 to 1."""
    rows = pictures.reshape(len(pictures), -1).astype(np.float32) / 255
    low = rows.min(axis=1, keepdims=True)
    span = rows.max(axis=1, keepdims=True) - low
    return (rows - low) / np.maximum(span, 1 / 255)


def build_graph(layers):
    """image [N, 1, 8, 8], 0 to 1 -> full contrast -> light ink on dark -> probabilities [N, 10]."""
    edge = np.ones((SIZE, SIZE), np.float32)
    edge[1:-1, 1:-1] = 0
    constants = {
        "smallest_span": np.array(1 / 255, np.float32),
        "edge_mean": (edge / edge.sum()).reshape(SIZE * SIZE, 1),
        "half": np.array(0.5, np.float32),
        "one": np.array(1, np.float32),
    }
    nodes = [
        helper.make_node("Flatten", ["image"], ["pixels"], axis=1),
        helper.make_node("ReduceMin", ["pixels"], ["low"], axes=[1], keepdims=1),
        helper.make_node("ReduceMax", ["pixels"], ["high"], axes=[1], keepdims=1),
        helper.make_node("Sub", ["high", "low"], ["measured_span"]),
        helper.make_node("Max", ["measured_span", "smallest_span"], ["span"]),
        helper.make_node("Sub", ["pixels", "low"], ["above_low"]),
        helper.make_node("Div", ["above_low", "span"], ["contrasted"]),
        # A light edge means dark ink on paper: turn it round to what the layers were trained on.
        helper.make_node("MatMul", ["contrasted", "edge_mean"], ["edge"]),
        helper.make_node("Greater", ["edge", "half"], ["is_paper"]),
        helper.make_node("Sub", ["one", "contrasted"], ["turned_round"]),
        helper.make_node("Where", ["is_paper", "turned_round", "contrasted"], ["hidden_0"]),
    ]
    for number, (weights, biases) in enumerate(layers):
        constants[f"weights_{number}"] = weights
        constants[f"biases_{number}"] = biases
        is_last = number == len(layers) - 1
        sums = "scores" if is_last else f"sums_{number}"
        operands = [f"hidden_{number}", f"weights_{number}", f"biases_{number}"]
        nodes.append(helper.make_node("Gemm", operands, [sums]))
        if not is_last:
            nodes.append(helper.make_node("Relu", [sums], [f"hidden_{number + 1}"]))
    nodes.append(helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1))

    graph = helper.make_graph(
        nodes,
        "digits",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 1, SIZE, SIZE])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", 10])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(
        graph,
        producer_name="onnxd examples",
        ir_version=8,
        opset_imports=[helper.make_opsetid("", 17)],
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def write_samples(pictures, classes):
    """The first held-out digit of each class, enlarged enough to be seen."""
    folder = FOLDER / "samples"
    folder.mkdir(exist_ok=True)
    for digit in range(10):
        picture = pictures[np.flatnonzero(classes == digit)[0]]
        image = Image.fromarray(picture).resize((SAMPLE_SIZE, SAMPLE_SIZE), Resampling.BICUBIC)
        image.save(folder / f"{digit}.png", optimize=True)


def report(pictures, classes):
    """Prints the accuracy on the held-out digits, measured with the file that was written."""
    session = onnxruntime.InferenceSession(FOLDER / "model.onnx")
    rng = np.random.default_rng(SEED + 1)

    def accuracy(changed):
        rows = changed.reshape(-1, 1, SIZE, SIZE).astype(np.float32) / 255
        (probabilities,) = session.run(["probabilities"], {"image": rows})
        return (probabilities.argmax(axis=1) == classes).mean()

    def each(change):
        return np.stack([change(picture) for picture in pictures])

    def enlarge_and_shrink(picture):
        large = Image.fromarray(picture).resize((SAMPLE_SIZE, SAMPLE_SIZE), Resampling.BICUBIC)
        return np.asarray(large.resize((SIZE, SIZE), Resampling.LANCZOS))

    print(f"digits: {len(classes)} held-out digits")
    print(f"  as they are            {accuracy(pictures):.2%}")
    print(f"  enlarged and shrunk    {accuracy(each(enlarge_and_shrink)):.2%}")
    print(f"  dark on light          {accuracy(255 - pictures):.2%}")
    print(f"  distorted as in train  {accuracy(each(lambda picture: distort(picture, rng))):.2%}")


if __name__ == "__main__":
    main()
