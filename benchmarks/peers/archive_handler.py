"""Handler of MMS and of TorchServe, in the style both know: a function that gets None to load."""

from onnx_model import OnnxModel

model = None


def handle(data, context):
    global model
    if model is None:
        model = OnnxModel()
    if data is None:
        return None
    return [model.answer_bytes(request["body"]) for request in data]
