"""KServe's Python client for gRPC, unmodified, against onnxd: python kserve_grpc_checks.py HOST:PORT"""

import asyncio
import sys

import grpc
import numpy as np
from kserve import InferenceGRPCClient, InferInput, InferRequest

FLOWERS = np.array([[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]], dtype=np.float32)


def check(name, condition, detail=""):
    assert condition, f"{name}: {detail}"
    print(f"ok {name}", flush=True)


def request(binary, name="iris"):
    tensor = InferInput("features", list(FLOWERS.shape), "FP32")
    tensor.set_data_from_numpy(FLOWERS, binary_data=binary)
    return InferRequest(model_name=name, infer_inputs=[tensor], request_id="my-id")


async def main():
    client = InferenceGRPCClient(sys.argv[1], retries=2)
    check("live", await client.is_server_live())
    check("ready", await client.is_server_ready())
    check("model ready", await client.is_model_ready("iris"))
    for binary in [True, False]:
        answer = await client.infer(request(binary))
        label, scores = answer.outputs
        kind = "binary" if binary else "typed"
        check(f"{kind} labels", label.as_numpy().tolist() == [0, 2], str(label))
        check(f"{kind} scores", scores.as_numpy().shape == (2, 3))
        check(f"{kind} names", answer.id == "my-id" and answer.model_name == "iris")
    try:
        await client.infer(request(True, "none"))
        raise AssertionError("no error")
    except grpc.RpcError as error:
        check("unknown model", error.code() == grpc.StatusCode.NOT_FOUND, str(error))
    await client.close()


asyncio.run(main())
print("done", flush=True)
