"""Triton's Python client for gRPC, unmodified, and the health and reflection clients of gRPC's project,
against onnxd: python grpc_checks.py HOST:PORT

Prints one line for each check; the first that fails ends the script with a traceback. The server has to have
the own models of the tests, and to let this address load and unload them.
"""

import asyncio
import queue
import sys
import threading
import time

import grpc
import numpy as np
import tritonclient.grpc as client_module
import tritonclient.grpc.aio as aio
from google.protobuf import descriptor_pool, message_factory
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

URL = sys.argv[1]
LEFT = np.arange(16, dtype=np.int32).reshape(1, 16)
RIGHT = np.full((1, 16), -1, dtype=np.int32)
TYPES = {
    "bool": np.array([[True, False, True]]),
    "uint8": np.array([[0, 255, 7]], dtype=np.uint8),
    "uint16": np.array([[0, 65535]], dtype=np.uint16),
    "uint32": np.array([[0, 2**32 - 1]], dtype=np.uint32),
    "uint64": np.array([[0, 2**64 - 1]], dtype=np.uint64),
    "int8": np.array([[-128, 127]], dtype=np.int8),
    "int16": np.array([[-32768, 32767]], dtype=np.int16),
    "int32": np.array([[-(2**31), 2**31 - 1]], dtype=np.int32),
    "int64": np.array([[-(2**63), 2**63 - 1]], dtype=np.int64),
    "fp16": np.array([[1.5, -2.25, np.inf]], dtype=np.float16),
    "fp32": np.array([[1.5, np.nan, -np.inf]], dtype=np.float32),
    "fp64": np.array([[1e300, -0.0]], dtype=np.float64),
}


def check(name, condition, detail=""):
    assert condition, f"{name}: {detail}"
    print(f"ok {name}", flush=True)


def fails(name, call, code, *texts):
    try:
        call()
    except InferenceServerException as error:
        matches = code in str(error.status()) and all(text in error.message() for text in texts)
        check(name, matches, f"{error.status()} {error.message()}")
        return
    raise AssertionError(f"{name}: no error")


def two_inputs(module=client_module):
    inputs = [
        module.InferInput("INPUT0", [1, 16], "INT32"),
        module.InferInput("INPUT1", [1, 16], "INT32"),
    ]
    inputs[0].set_data_from_numpy(LEFT)
    inputs[1].set_data_from_numpy(RIGHT)
    return inputs


def one_input(array):
    tensor = client_module.InferInput("INPUT0", array.shape, np_to_triton_dtype(array.dtype))
    tensor.set_data_from_numpy(array)
    return [tensor]


def is_right(result):
    return (result.as_numpy("OUTPUT0") == LEFT + RIGHT).all() and (
        result.as_numpy("OUTPUT1") == LEFT - RIGHT
    ).all()


def health_and_metadata(client):
    check("server live", client.is_server_live(headers={"x-any": "1"}))
    check("server ready", client.is_server_ready())
    check("model ready", client.is_model_ready("simple"))
    check("version ready", client.is_model_ready("simple", "1"))
    fails("unknown model is not ready", lambda: client.is_model_ready("nothing"), "NOT_FOUND")
    server = client.get_server_metadata()
    check("server metadata", server.name == "triton" and "statistics" in server.extensions)
    model = client.get_model_metadata("simple", as_json=True)
    check("model metadata", model["inputs"][0]["shape"] == ["-1", "16"], str(model))
    config = client.get_model_config("simple").config
    check("model config", config.max_batch_size == 8 and config.input[0].dims == [16], str(config))
    check("model config type", config.input[0].data_type == 8 and config.platform == "onnxruntime_onnx")
    fails("metadata of an unknown model", lambda: client.get_model_metadata("none"), "NOT_FOUND", "unknown model")
    check("infer", is_right(client.infer("simple", two_inputs())))
    statistics = client.get_inference_statistics("simple", as_json=True)["model_stats"][0]
    check("statistics", int(statistics["inference_stats"]["success"]["count"]) >= 1, str(statistics))
    check("all statistics", len(client.get_inference_statistics().model_stats) > 1)


def inference(client):
    for name, array in TYPES.items():
        result = client.infer(f"identity_{name}", one_input(array))
        same = result.as_numpy("OUTPUT0").tobytes() == array.tobytes()
        check(f"tensor {name}", same and result.as_numpy("OUTPUT0").dtype == array.dtype)
    texts = np.array([["a", "é", "", "\0x"]], dtype=np.object_)
    got = client.infer("simple_identity", one_input(texts)).as_numpy("OUTPUT0")
    check("strings", [one.decode() for one in got[0]] == ["a", "é", "", "\0x"], str(got))
    blobs = np.array([[bytes(range(256)), b"\xff\x00"]], dtype=np.object_)
    got = client.infer("simple_identity", one_input(blobs)).as_numpy("OUTPUT0")
    check("bytes", got[0].tolist() == blobs[0].tolist())
    empty = np.zeros((0, 4), dtype=np.float32)
    got = client.infer("identity_fp32", one_input(empty)).as_numpy("OUTPUT0")
    check("no elements", got is not None and got.shape == (0, 4), str(got))
    scalar = client_module.InferInput("INPUT0", [], "FP32")
    scalar.set_data_from_numpy(np.array(0.5, dtype=np.float32))
    check("scalar", client.infer("scalar_fp32", [scalar]).as_numpy("OUTPUT0") == 0.5)
    large = np.random.default_rng(7).random((1000, 1000), dtype=np.float32)
    got = client.infer("identity_fp32", one_input(large)).as_numpy("OUTPUT0")
    check("4 MB", (got == large).all())

    outputs = [client_module.InferRequestedOutput("OUTPUT1")]
    result = client.infer("simple", two_inputs(), outputs=outputs, request_id="my id", model_version="1")
    response = result.get_response()
    check("one output", [output.name for output in response.outputs] == ["OUTPUT1"])
    check("id and version", response.id == "my id" and response.model_version == "1")
    scores = np.array([[1, 5, 10, 4]], dtype=np.float32)
    ranked = [client_module.InferRequestedOutput("OUTPUT0", class_count=2)]
    got = client.infer("scores4", one_input(scores), outputs=ranked).as_numpy("OUTPUT0")
    check("classification", got.flatten().tolist() == [b"10.000000:2:two", b"5.000000:1:one"], str(got))
    options = {"priority": 1, "timeout": 60_000_000, "headers": {"x-request-id": "abc"}}
    check("priority and timeout", is_right(client.infer("simple", two_inputs(), **options)))
    check("sequence", is_right(client.infer("simple", two_inputs(), sequence_id=5, sequence_start=True)))
    check("parameters", is_right(client.infer("simple", two_inputs(), parameters={"own": 7, "text": "x"})))
    for algorithm in ["gzip", "deflate"]:
        result = client.infer("simple", two_inputs(), compression_algorithm=algorithm)
        check(f"compressed with {algorithm}", is_right(result))


def errors(client):
    wrong = one_input(np.zeros((1, 3), dtype=np.float32))
    fails("unknown model", lambda: client.infer("none", wrong), "NOT_FOUND", "Request for unknown model")
    fails("unknown version", lambda: client.infer("simple", two_inputs(), model_version="9"), "NOT_FOUND")
    fails("wrong type", lambda: client.infer("simple", wrong), "INVALID_ARGUMENT", "INPUT0")
    fails("missing input", lambda: client.infer("simple", two_inputs()[:1]), "INVALID_ARGUMENT", "INPUT1")
    output = [client_module.InferRequestedOutput("NONE")]
    fails("unknown output", lambda: client.infer("simple", two_inputs(), outputs=output), "INVALID_ARGUMENT", "NONE")
    fails("wrong priority", lambda: client.infer("simple", two_inputs(), priority=99), "INVALID_ARGUMENT")
    big = one_input(np.zeros((20_000_000,), dtype=np.float32).reshape(1, -1))
    fails("too large", lambda: client.infer("identity_fp32", big), "RESOURCE_EXHAUSTED", "maxBodyBytes")
    short = lambda: client.infer("simple", two_inputs(), client_timeout=0.000001)
    fails("deadline", short, "DEADLINE_EXCEEDED")
    for name in ["get_trace_settings", "get_log_settings", "get_system_shared_memory_status"]:
        fails(f"no {name}", getattr(client, name), "UNIMPLEMENTED", "not supported")
    fails("no trace settings", lambda: client.update_trace_settings(settings={"trace_rate": "1"}), "UNIMPLEMENTED")
    fails("no cuda", client.get_cuda_shared_memory_status, "UNIMPLEMENTED")
    check("still serves", is_right(client.infer("simple", two_inputs())))


def asynchronous(client):
    done = queue.Queue()
    for index in range(50):
        client.async_infer("simple", two_inputs(), lambda result, error: done.put((result, error)), request_id=str(index))
    results = [done.get(timeout=30) for _ in range(50)]
    check("async", all(error is None and is_right(result) for result, error in results))
    check("async ids", len({result.get_response().id for result, _ in results}) == 50)
    large = one_input(np.zeros((2000, 2000), dtype=np.float32))
    context = client.async_infer("identity_fp32", large, lambda result, error: done.put((result, error)))
    context.cancel()
    result, error = done.get(timeout=30)
    cancelled = error is not None and "CANCELLED" in str(error.status())
    check("cancelled", cancelled or result is not None, str(error))


def streaming(client):
    done = queue.Queue()
    client.start_stream(lambda result, error: done.put((result, error)))
    for index in range(200):
        client.async_stream_infer("simple", two_inputs(), request_id=str(index))
    results = [done.get(timeout=30) for _ in range(200)]
    check("stream", all(error is None and is_right(result) for result, error in results))
    check("stream ids", {result.get_response().id for result, _ in results} == {str(one) for one in range(200)})
    client.async_stream_infer("none", two_inputs())
    result, error = done.get(timeout=30)
    check("stream error", result is None and "unknown model" in error.message(), str(error))
    client.async_stream_infer("simple", two_inputs(), enable_empty_final_response=True)
    result, error = done.get(timeout=30)
    final = result.get_response().parameters.get("triton_final_response")
    check("final response", final is not None and final.bool_param, str(result.get_response().parameters))
    large = one_input(np.ones((500, 500), dtype=np.float32))
    for _ in range(20):
        client.async_stream_infer("identity_fp32", large)
    check("large stream", all(done.get(timeout=30)[0].as_numpy("OUTPUT0").all() for _ in range(20)))
    client.stop_stream()
    client.start_stream(lambda result, error: done.put((result, error)), compression_algorithm="gzip")
    client.async_stream_infer("simple", two_inputs())
    result, error = done.get(timeout=30)
    check("compressed stream", error is None and is_right(result), str(error))
    client.stop_stream(cancel_requests=True)
    check("after streams", is_right(client.infer("simple", two_inputs())))


def repository(client):
    names = {model.name for model in client.get_model_repository_index().models}
    check("index", "simple" in names)
    client.unload_model("simple")
    fails("unloaded", lambda: client.infer("simple", two_inputs()), "NOT_FOUND")
    client.load_model("simple", config='{"max_batch_size": 8}')
    check("loaded again", is_right(client.infer("simple", two_inputs())))
    fails("load of nothing", lambda: client.load_model("none"), "NOT_FOUND", "failed to load")


def health(channel):
    stub = health_pb2_grpc.HealthStub(channel)
    serving = health_pb2.HealthCheckResponse.SERVING
    for service in ["", "simple", "inference.GRPCInferenceService"]:
        status = stub.Check(health_pb2.HealthCheckRequest(service=service)).status
        check(f"health of {service!r}", status == serving)
    try:
        stub.Check(health_pb2.HealthCheckRequest(service="none"))
        raise AssertionError("no error")
    except grpc.RpcError as error:
        check("health of an unknown model", error.code() == grpc.StatusCode.NOT_FOUND)
    states = stub.Watch(health_pb2.HealthCheckRequest(service="simple"))
    check("watch", next(states).status == serving)
    states.cancel()


def reflection(channel):
    database = ProtoReflectionDescriptorDatabase(channel)
    services = set(database.get_services())
    check("services", {"inference.GRPCInferenceService", "grpc.health.v1.Health"} <= services, str(services))
    pool = descriptor_pool.DescriptorPool(database)
    service = pool.FindServiceByName("inference.GRPCInferenceService")
    method = service.FindMethodByName("ModelMetadata")
    request = message_factory.GetMessageClass(method.input_type)(name="simple")
    response_class = message_factory.GetMessageClass(method.output_type)
    call = channel.unary_unary(
        f"/{service.full_name}/{method.name}",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=response_class.FromString,
    )
    check("a call by reflection", call(request).name == "simple")
    infer = pool.FindMessageTypeByName("inference.ModelInferRequest")
    check("maps by reflection", infer.fields_by_name["parameters"].message_type.GetOptions().map_entry)


async def asyncio_client():
    async with aio.InferenceServerClient(URL) as client:
        check("aio ready", await client.is_server_ready())
        results = await asyncio.gather(*(client.infer("simple", two_inputs(aio)) for _ in range(20)))
        check("aio infer", all(is_right(result) for result in results))

        async def requests():
            for index in range(5):
                yield {"model_name": "simple", "inputs": two_inputs(aio), "request_id": str(index)}

        count = 0
        async for result, error in client.stream_infer(requests()):
            assert error is None and is_right(result), error
            count += 1
        check("aio stream", count == 5)


def parallel(client):
    failures = []

    def work():
        try:
            for _ in range(20):
                assert is_right(client.infer("simple", two_inputs()))
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    check("8 threads", not failures, str(failures))


if __name__ == "__main__":
    started = time.monotonic()
    triton = client_module.InferenceServerClient(URL)
    health_and_metadata(triton)
    inference(triton)
    errors(triton)
    asynchronous(triton)
    streaming(triton)
    parallel(triton)
    with grpc.insecure_channel(URL) as plain:
        health(plain)
        reflection(plain)
    asyncio.run(asyncio_client())
    repository(triton)
    triton.close()
    print(f"{time.monotonic() - started:.1f} s")
    print("done", flush=True)
