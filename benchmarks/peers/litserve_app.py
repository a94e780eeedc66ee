"""LitServe with one worker. Its documentation recommends `fast_queue` for many small requests."""

import sys

import litserve

from onnx_model import OnnxModel


class OnnxApi(litserve.LitAPI):
    def setup(self, device):
        self.model = OnnxModel()

    def decode_request(self, request):
        return request["inputs"][0]["data"]

    def predict(self, data):
        return self.model.answer_v2(data)

    def encode_response(self, answer):
        return answer


if __name__ == "__main__":
    server = litserve.LitServer(OnnxApi(), accelerator="cpu", workers_per_device=1, fast_queue=True)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False)
