"""Ray Serve with one replica, which holds as many requests as the client has connections."""

import sys
import threading

import ray
from ray import serve
from starlette.requests import Request
from starlette.responses import Response

from onnx_model import OnnxModel


@serve.deployment(num_replicas=1, max_ongoing_requests=100)
class Peer:
    def __init__(self):
        self.model = OnnxModel()

    async def __call__(self, request: Request):
        body = await request.body()
        if request.url.path == "/bytes":
            answer = self.model.answer_bytes(body)
            return Response(answer, media_type="application/octet-stream")
        return self.model.answer_v2((await request.json())["inputs"][0]["data"])


if __name__ == "__main__":
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1])})
    serve.run(Peer.bind())
    threading.Event().wait()
