"""Handler for MMS and TorchServe, as a function. Both call it with None to load the model."""

from onnx_model import OnnxModel

model = None


def handle(data, context):
    global model
    if model is None:
        model = OnnxModel()
    if data is None:
        return None
    return [model.answer_bytes(request["body"]) for request in data]
