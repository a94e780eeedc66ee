"""KServe's Python client, unmodified, against a server. Argument: the base URL. Prints a line for each check."""

import asyncio
import sys

import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig

BASE = sys.argv[1]
FLOWER = [5.8, 2.7, 5.1, 1.9]
checks = 0


def check(name, is_right, seen=None):
    global checks
    if not is_right:
        raise AssertionError(f"{name}: {seen}")
    checks += 1
    print("ok", name)


async def version_1():
    client = InferenceRESTClient(RESTConfig(protocol="v1", retries=1))
    check("v1 live", await client.is_server_live(BASE))
    check("v1 model ready", await client.is_model_ready(BASE, "iris"))
    answer = await client.infer(BASE, {"instances": [FLOWER, FLOWER]}, model_name="iris")
    check("v1 predict", len(answer["predictions"]) == 2, answer)
    try:
        await client.infer(BASE, {"instances": [FLOWER]}, model_name="missing")
        check("v1 unknown model", False)
    except Exception as error:
        check("v1 unknown model", "404" in str(error), error)
    await client.close()


def request(binary):
    tensor = InferInput("features", [1, 4], "FP32")
    tensor.set_data_from_numpy(np.array([FLOWER], dtype=np.float32), binary_data=binary)
    return InferRequest(model_name="iris", infer_inputs=[tensor], request_id="mine")


async def version_2():
    client = InferenceRESTClient(RESTConfig(protocol="v2", retries=1))
    check("v2 live", await client.is_server_live(BASE))
    check("v2 ready", await client.is_server_ready(BASE))
    check("v2 model ready", await client.is_model_ready(BASE, "iris"))
    for binary in (False, True):
        answer = await client.infer(BASE, request(binary), model_name="iris")
        form = "binary" if binary else "JSON"
        check(f"v2 infer, {form}: id", answer.id == "mine", answer)
        check(f"v2 infer, {form}: model", answer.model_name == "iris", answer)
        outputs = {output.name: output.as_numpy() for output in answer.outputs}
        check(f"v2 infer, {form}: label", outputs["label"].tolist() == [2], outputs)
        check(f"v2 infer, {form}: probabilities", outputs["probabilities"].shape == (1, 3), outputs)
    wrong = InferRequest(
        model_name="iris",
        infer_inputs=[InferInput("feature", [1, 4], "FP32", data=FLOWER)],
    )
    try:
        await client.infer(BASE, wrong, model_name="iris")
        check("v2 wrong input", False)
    except Exception as error:
        check("v2 wrong input", "400" in str(error), error)
    check("v2 unknown model", not await client.is_model_ready(BASE, "missing"))
    await client.close()


asyncio.run(version_1())
asyncio.run(version_2())
print("done", checks)
