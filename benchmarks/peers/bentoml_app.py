"""BentoML with one worker. A function of its API runs in a thread beside the event loop."""

import bentoml

from onnx_model import OnnxModel


@bentoml.service(workers=1)
class Peer:
    def __init__(self):
        self.model = OnnxModel()

    @bentoml.api(route="/v2")
    def predict(self, inputs: list) -> dict:
        return self.model.answer_v2(inputs[0]["data"])
