"""The model that every peer runs: one onnxruntime session with one thread."""

import os

import numpy
import onnxruntime


class OnnxModel:
    def __init__(self):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            os.environ["PEER_MODEL"], options, providers=["CPUExecutionProvider"]
        )
        [tensor] = self.session.get_inputs()
        self.input = tensor.name
        self.shape = [size if isinstance(size, int) else 1 for size in tensor.shape]
        self.output = self.session.get_outputs()[0].name

    def run(self, values):
        """Runs one sample, an array of any shape. Returns the array of the first output."""
        values = numpy.ascontiguousarray(values, dtype=numpy.float32).reshape(self.shape)
        return self.session.run([self.output], {self.input: values})[0]

    def answer_bytes(self, body):
        """Takes and returns raw float32."""
        return self.run(numpy.frombuffer(body, dtype=numpy.float32)).tobytes()

    def answer_v2(self, data):
        """Takes the numbers of an Open Inference Protocol tensor, returns the response body."""
        result = self.run(data)
        return {
            "model_name": "peer",
            "outputs": [
                {
                    "name": self.output,
                    "datatype": "FP32",
                    "shape": list(result.shape),
                    "data": result.ravel().tolist(),
                }
            ],
        }
