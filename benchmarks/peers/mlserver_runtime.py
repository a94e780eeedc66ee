"""Custom runtime for MLServer."""

from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceResponse

from onnx_model import OnnxModel


class OnnxRuntime(MLModel):
    async def load(self):
        self.model = OnnxModel()
        return True

    async def predict(self, payload):
        result = self.model.run(NumpyCodec.decode_input(payload.inputs[0]))
        output = NumpyCodec.encode_output(self.model.output, result)
        return InferenceResponse(model_name=self.name, outputs=[output])
