"""Writes detections.json: random outputs of detectors, and the detections that NumPy finds in them.

The suppression is that of torchvision.ops.nms: FP32, a stable sort by score, strictly greater IoU.

    python3 test/vectors/detections.py > test/vectors/detections.json
"""
import json

import numpy as np

random = np.random.default_rng(20)
f32 = np.float32
INPUT = (64, 48)  # width, height
ORIGINAL = (128, 24)


def nms(boxes, scores, limit):
    boxes = boxes.astype(f32)
    order = np.argsort(-scores, kind="stable")
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    keep = []
    suppressed = np.zeros(len(boxes), bool)
    for i in order:
        if suppressed[i]:
            continue
        keep.append(int(i))
        w = np.maximum(f32(0), np.minimum(boxes[i, 2], boxes[:, 2]) - np.maximum(boxes[i, 0], boxes[:, 0]))
        h = np.maximum(f32(0), np.minimum(boxes[i, 3], boxes[:, 3]) - np.maximum(boxes[i, 1], boxes[:, 1]))
        common = w * h
        suppressed |= common / (areas[i] + areas - common) > limit
    return keep


def batched_nms(boxes, scores, classes, limit):
    keep = []
    for one in np.unique(classes):
        own = np.flatnonzero(classes == one)
        keep += [int(own[k]) for k in nms(boxes[own], scores[own], limit)]
    return sorted(keep, key=lambda k: (-scores[k], k))


def grid_boxes(count, side=24):
    """Whole coordinates, so that many boxes meet the limit exactly."""
    low = random.integers(0, side - 8, (count, 2))
    high = low + random.integers(1, 8, (count, 2))
    return np.concatenate([low, high], 1)


def suppression_case(limit, per_class):
    count = int(random.integers(1, 60))
    boxes = grid_boxes(count)
    scores = random.choice(np.array([0.25, 0.5, 0.625, 0.75, 1.0]), count)
    classes = random.integers(0, 3, count)
    same = classes if per_class else np.zeros(count, int)
    return {
        "iou": limit,
        "perClass": per_class,
        "boxes": boxes.tolist(),
        "scores": scores.tolist(),
        "classes": classes.tolist(),
        "kept": batched_nms(boxes, scores, same, limit),
    }


def softmax(x):
    e = np.exp(x.astype(np.float64) - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def sigmoid(x):
    return 1 / (1 + np.exp(-x.astype(np.float64)))


def corners(boxes):
    center, size = boxes[:, :2].astype(np.float64), boxes[:, 2:].astype(np.float64)
    return np.concatenate([center - size / 2, center + size / 2], 1)


def found(boxes, scores, classes, limit, threshold):
    """The detections in pixels of the original image, which was stretched."""
    ok = np.flatnonzero((scores > threshold) & (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1]))
    boxes, scores, classes = boxes[ok], scores[ok], classes[ok]
    keep = batched_nms(boxes, scores, classes, limit)
    scale = np.array([ORIGINAL[0] / INPUT[0], ORIGINAL[1] / INPUT[1]] * 2)
    edges = np.clip(boxes * scale, 0, np.array(ORIGINAL * 2))
    return [
        {"index": int(classes[k]), "score": float(scores[k]), "box": edges[k].tolist()}
        for k in keep
        if edges[k, 2] > edges[k, 0] and edges[k, 3] > edges[k, 1]
    ]


def tensor(values):
    return {"shape": list(values.shape), "data": [float(v) for v in values.astype(f32).ravel()]}


def format_case(name, outputs, settings, classes, expected):
    return {
        "name": name,
        "outputs": {key: tensor(value) for key, value in outputs.items()},
        "settings": {"type": "detection", "threshold": 0.3, **settings},
        "classes": classes,
        "expected": expected,
    }


def scaled_boxes(count):
    """Centres and sizes in pixels of the model's input; some lie partly outside."""
    return np.concatenate([random.uniform(-4, 68, (count, 2)), random.uniform(2, 30, (count, 2))], 1).astype(f32)


def cases():
    boxes, objectness, scores = scaled_boxes(40), random.random((40, 1), f32), random.random((40, 3), f32)
    rows = np.concatenate([boxes, objectness, scores], 1)
    product = scores.astype(np.float64) * objectness
    yield format_case(
        "yolov5", {"output0": rows[None]}, {"iou": 0.4}, 3,
        found(corners(boxes), product.max(1), product.argmax(1), 0.4, 0.3),
    )

    boxes, scores = scaled_boxes(50), random.random((50, 5), f32)
    rows = np.concatenate([boxes, scores], 1)
    yield format_case(
        "yolov8", {"output0": rows.T[None]}, {}, 5,
        found(corners(boxes), scores.max(1).astype(np.float64), scores.argmax(1), 0.5, 0.3),
    )

    rows = np.concatenate([
        corners(scaled_boxes(12)), random.random((12, 1)), random.integers(0, 4, (12, 1)),
    ], 1).astype(f32)
    yield format_case(
        "yolov10", {"output0": rows[None]}, {}, 4,
        found(rows[:, :4].astype(np.float64), rows[:, 4].astype(np.float64), rows[:, 5].astype(int), 1, 0.3),
    )

    low = random.uniform(-0.1, 0.8, (30, 2))
    boxes = np.concatenate([low, low + random.uniform(0.02, 0.3, (30, 2))], 1).astype(f32)
    scores = softmax(random.normal(0, 2, (30, 4))).astype(f32)
    pixels = boxes.astype(np.float64) * np.array(INPUT * 2)
    spread = np.repeat(np.arange(30), 3)
    objects = scores[:, 1:].astype(np.float64)
    yield format_case(
        "ssd", {"scores": scores[None], "boxes": boxes[None]}, {}, 3,
        found(pixels[spread], objects.ravel(), np.tile(np.arange(3), 30), 0.5, 0.3),
    )

    boxes = (scaled_boxes(20) / np.array(INPUT * 2)).astype(f32)
    logits = random.normal(0, 3, (20, 4)).astype(f32)
    probabilities = softmax(logits)[:, :-1]
    pixels = corners(boxes) * np.array(INPUT * 2)
    yield format_case(
        "detr", {"logits": logits[None], "pred_boxes": boxes[None]}, {}, 3,
        found(pixels, probabilities.max(1), probabilities.argmax(1), 1, 0.3),
    )
    probabilities = sigmoid(logits)
    yield format_case(
        "detr", {"logits": logits[None], "pred_boxes": boxes[None]}, {}, 4,
        found(pixels, probabilities.max(1), probabilities.argmax(1), 1, 0.3),
    )

    boxes = corners(scaled_boxes(9)).astype(f32)
    scores, labels = random.random(9, f32), random.integers(0, 3, 9)
    yield format_case(
        "selected", {"boxes": boxes, "labels": labels, "scores": scores}, {}, 3,
        found(boxes.astype(np.float64), scores.astype(np.float64), labels, 1, 0.3),
    )


suppressions = [
    suppression_case(limit, per_class)
    for limit in (0.0, 0.25, 0.3, 0.45, 0.5, 0.6, 0.7, 1.0)
    for per_class in (True, False)
]
vectors = {"input": INPUT, "original": ORIGINAL, "suppressions": suppressions, "formats": list(cases())}
print(json.dumps(vectors))
