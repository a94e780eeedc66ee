"""Triton's own Python client, unmodified, against onnxd: python tritonclient_checks.py HOST:PORT

Prints one line for each check; the first that fails ends the script with a traceback. The server has to have
the models simple, simple_identity, identity_fp32 and scores4, and to let this address load and unload them.
"""

import asyncio
import itertools
import json
import sys

import numpy as np
import tritonclient.http as http
import tritonclient.http.aio as aio
from tritonclient.utils import InferenceServerException

URL = sys.argv[1]
LEFT = np.arange(16, dtype=np.int32).reshape(1, 16)
RIGHT = np.full((1, 16), -1, dtype=np.int32)


def check(name, condition, detail=""):
    assert condition, f"{name}: {detail}"
    print(f"ok {name}", flush=True)


def fails(name, call, *texts):
    try:
        call()
    except InferenceServerException as error:
        message = error.message()
        check(name, all(text in message for text in texts), message)
        return message
    raise AssertionError(f"{name}: no error")


def two_inputs(left_binary, right_binary, module=http):
    inputs = [
        module.InferInput("INPUT0", [1, 16], "INT32"),
        module.InferInput("INPUT1", [1, 16], "INT32"),
    ]
    inputs[0].set_data_from_numpy(LEFT, binary_data=left_binary)
    inputs[1].set_data_from_numpy(RIGHT, binary_data=right_binary)
    return inputs


def is_right(result):
    return (result.as_numpy("OUTPUT0") == LEFT + RIGHT).all() and (
        result.as_numpy("OUTPUT1") == LEFT - RIGHT
    ).all()


def health_and_metadata(client):
    check("server live", client.is_server_live(query_params={"a": 1}))
    check("server ready", client.is_server_ready())
    check("model ready", client.is_model_ready("simple"))
    check("version ready", client.is_model_ready("simple", "1"))
    check("unknown model is not ready", not client.is_model_ready("nothing"))
    server = client.get_server_metadata()
    check("server metadata", server["name"] == "triton" and "statistics" in server["extensions"])
    model = client.get_model_metadata("simple")
    check("model metadata", model["inputs"][0]["shape"] == [-1, 16], model)
    check("version metadata", client.get_model_metadata("simple", "1")["versions"] == ["1"])
    config = client.get_model_config("simple")
    check("model config", config["max_batch_size"] == 8 and config["input"][0]["dims"] == [16])
    fails(
        "metadata of an unknown model",
        lambda: client.get_model_metadata("wrong_model_name"),
        "Request for unknown model",
    )


def texts(client):
    """A model of Hugging Face: strings in, vectors and labels out."""
    sentences = np.array(["the cat sat", "a dog", "good cat"], dtype=object)
    text = http.InferInput("text", [3], "BYTES")
    text.set_data_from_numpy(sentences)
    vectors = client.infer("embed", [text]).as_numpy("embedding")
    check("texts get vectors", vectors.shape == (3, 8) and vectors.dtype == np.float32)
    single = http.InferInput("text", [1, 1], "BYTES")
    single.set_data_from_numpy(sentences[1:2].reshape(1, 1))
    alone = client.infer("embed", [single]).as_numpy("embedding")
    check("a text alone gets the same vector", np.allclose(alone[0], vectors[1], atol=1e-5))
    outputs = [http.InferRequestedOutput(name) for name in ("label", "score")]
    result = client.infer("classify", [text], outputs=outputs, parameters={"top_k": 1})
    labels = [label.decode() for label in result.as_numpy("label").ravel()]
    check("texts get labels", len(labels) == 3 and set(labels) <= {"bad", "good"}, labels)
    scores = result.as_numpy("score")
    check("labels have scores", scores.shape == (3, 1) and (scores >= 0.5).all(), scores)


def inference(client):
    mixes = itertools.product([False, True], repeat=4)
    for left, right, first, second in mixes:
        outputs = [
            http.InferRequestedOutput("OUTPUT0", binary_data=first),
            http.InferRequestedOutput("OUTPUT1", binary_data=second),
        ]
        result = client.infer("simple", two_inputs(left, right), outputs=outputs, request_id="7")
        name = f"infer with binary {left} {right} in, {first} {second} out"
        check(name, is_right(result) and result.get_response()["id"] == "7")
    check("infer without outputs", is_right(client.infer("simple", two_inputs(False, True))))
    codings = itertools.product([None, "gzip", "deflate"], repeat=2)
    for request, response in codings:
        result = client.infer(
            "simple",
            two_inputs(True, False),
            request_compression_algorithm=request,
            response_compression_algorithm=response,
        )
        check(f"infer with {request} request and {response} response", is_right(result))
    result = client.infer(
        "simple",
        two_inputs(True, True),
        model_version="1",
        priority=1,
        timeout=5_000_000,
        parameters={"custom": "value"},
    )
    check("infer with version, priority, timeout and parameters", is_right(result))
    requests = [client.async_infer("simple", two_inputs(True, True)) for _ in range(8)]
    check("async infer", all(is_right(request.get_result()) for request in requests))
    batch = http.InferInput("INPUT", [0, 4], "FP32")
    metadata = client.get_model_metadata("identity_fp32")["inputs"][0]
    empty = np.zeros([0 if size < 0 else size for size in metadata["shape"]], dtype=np.float32)
    batch = http.InferInput(metadata["name"], list(empty.shape), "FP32")
    batch.set_data_from_numpy(empty)
    output = client.get_model_metadata("identity_fp32")["outputs"][0]["name"]
    check("infer without elements", client.infer("identity_fp32", [batch]).as_numpy(output).size == 0)


def strings(client):
    for binary in (True, False):
        for name, value in (("NUL", b"he\0llo"), ("control", b"\0\1\2\3")):
            data = np.array([value] * 16, dtype=np.object_).reshape(1, 16)
            tensor = http.InferInput("INPUT0", [1, 16], "BYTES")
            tensor.set_data_from_numpy(data, binary_data=binary)
            output = http.InferRequestedOutput("OUTPUT0", binary_data=binary)
            result = client.infer("simple_identity", [tensor], outputs=[output]).as_numpy("OUTPUT0")
            expected = data if binary else np.char.decode(data.astype(np.bytes_), "utf-8")
            same = [bytes(x) if binary else str(x).encode() for x in result.flatten()] == [value] * 16
            check(f"strings with {name} bytes, binary {binary}", same, (result, expected))
    invalid = np.array([b"\xff\xfe\x80"] * 16, dtype=np.object_).reshape(1, 16)
    tensor = http.InferInput("INPUT0", [1, 16], "BYTES")
    tensor.set_data_from_numpy(invalid, binary_data=True)
    output = http.InferRequestedOutput("OUTPUT0", binary_data=True)
    result = client.infer("simple_identity", [tensor], outputs=[output]).as_numpy("OUTPUT0")
    check("strings that are not UTF-8", bytes(result[0][0]) == b"\xff\xfe\x80")
    output = http.InferRequestedOutput("OUTPUT0", binary_data=False)
    fails(
        "strings that are not UTF-8, as JSON",
        lambda: client.infer("simple_identity", [tensor], outputs=[output]),
        "UTF-8",
    )


def classification(client):
    metadata = client.get_model_metadata("scores4")
    spec = metadata["inputs"][0]
    shape = [1 if size < 0 else size for size in spec["shape"]]
    scores = np.linspace(0, 1, int(np.prod(shape)), dtype=np.float32).reshape(shape)
    tensor = http.InferInput(spec["name"], shape, spec["datatype"])
    tensor.set_data_from_numpy(scores)
    name = metadata["outputs"][0]["name"]
    output = http.InferRequestedOutput(name, class_count=2)
    classes = client.infer("scores4", [tensor], outputs=[output]).as_numpy(name)
    value, index = classes.flatten()[0].decode().split(":")[:2]
    check("classification", classes.size >= 2 and float(value) >= 0 and int(index) >= 0, classes)


def errors(client):
    message = fails(
        "infer with an unknown model",
        lambda: client.infer("wrong_model_name", two_inputs(True, True)),
        "Request for unknown model",
    )
    check("its text starts so", message.startswith("Request for unknown model"), message)
    fails("infer without an input", lambda: client.infer("simple", two_inputs(True, True)[:1]), "INPUT1")
    wrong = http.InferInput("INPUT0", [1, 15], "INT32")
    wrong.set_data_from_numpy(LEFT[:, :15])
    fails(
        "infer with a wrong shape",
        lambda: client.infer("simple", [wrong, two_inputs(True, True)[1]]),
        "INPUT0",
        "15",
    )
    for left, right in ((True, True), (False, False)):
        inputs = two_inputs(left, right)
        fails(
            f"a priority that there is not, binary {left}",
            lambda inputs=inputs: client.infer("simple", inputs, priority=9),
            "from 1 (served first) to 3",
        )
        check(f"the lowest priority, binary {left}", is_right(client.infer("simple", inputs, priority=3)))
    check("the server still works", is_right(client.infer("simple", two_inputs(True, True))))


def statistics(client):
    before = client.get_inference_statistics("simple")["model_stats"]
    client.infer("simple", two_inputs(True, True))
    after = client.get_inference_statistics("simple")["model_stats"]
    grown = [a["inference_count"] - b["inference_count"] for a, b in zip(after, before)]
    check("statistics of a model", len(after) == 1 and grown == [1], (before, after))
    everything = client.get_inference_statistics()["model_stats"]
    check("statistics of all models", len(everything) > 1)


def repository(client):
    index = client.get_model_repository_index()
    check("repository index", {"simple"} <= {entry["name"] for entry in index}, index)
    client.unload_model("simple_identity")
    check("unload", not client.is_model_ready("simple_identity"))
    client.load_model("simple_identity")
    check("load", client.is_model_ready("simple_identity"))
    client.load_model("simple_identity", config=json.dumps({"max_batch_size": "16"}))
    config = client.get_model_config("simple_identity")
    check("load with a configuration", config["max_batch_size"] == 16, config)
    fails("load an unknown model", lambda: client.load_model("wrong_model_name"), "failed to load")


async def asynchronous():
    async with aio.InferenceServerClient(URL) as client:
        check("aio live", await client.is_server_live())
        check("aio metadata", (await client.get_model_metadata("simple"))["name"] == "simple")
        for coding in (None, "gzip", "deflate"):
            result = await client.infer(
                "simple",
                two_inputs(True, False, aio),
                request_compression_algorithm=coding,
                response_compression_algorithm=coding,
            )
            check(f"aio infer with {coding}", is_right(result))
        many = [client.infer("simple", two_inputs(True, True, aio)) for _ in range(32)]
        check("aio infer, 32 at once", all(is_right(one) for one in await asyncio.gather(*many)))
        try:
            await client.infer("wrong_model_name", two_inputs(True, True, aio))
        except InferenceServerException as error:
            check("aio error", error.message().startswith("Request for unknown model"), error)
        else:
            raise AssertionError("aio error: no error")


def main():
    client = http.InferenceServerClient(URL, concurrency=8)
    for part in (
        health_and_metadata,
        inference,
        texts,
        strings,
        classification,
        errors,
        statistics,
        repository,
    ):
        part(client)
    client.close()
    asyncio.run(asynchronous())
    print("done")


main()
