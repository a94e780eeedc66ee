"""Uses a Python client of openapi-generator. Argument: the base URL. Reads calls.json, prints results."""

import json
import re
import sys

import onnxd_client
from onnxd_client import ApiClient, Configuration


def found(holder, name):
    """The member with this name, whatever the generator made of its capitals and other signs."""
    [only] = [one for one in dir(holder) if plain(one) == plain(name)]
    return getattr(holder, only)


def plain(name):
    return re.sub("[^a-z0-9]", "", name.lower())


def call_model(client, call):
    api = found(onnxd_client, call["api"] + "Api")(client)
    request = found(onnxd_client, call["schema"]).from_dict(call["body"])
    answer = found(api, call["operation"])(request)
    return client.sanitize_for_serialization(answer)


with open("calls.json") as file:
    plan = json.load(file)
with ApiClient(Configuration(host=sys.argv[1])) as client:
    results = [call_model(client, call) for call in plan["calls"]]
    fp16 = onnxd_client.IdentityFp16Api(client)
    raw = fp16.infer_identity_fp16(bytes([0, 60]), inference_header_content_length=0, tensor_shape="1,1")
    with open(plan["picture"], "rb") as file:
        classes = onnxd_client.DigitsApi(client).predict_digits(image=file.read())
    statistics = onnxd_client.ModelsApi(client).all_statistics()
    management = onnxd_client.ManagementApi(client)
    with open(plan["file"], "rb") as file:
        model = ("uploaded.onnx", file.read())
    uploaded = management.upload_model(model, model_name="from-python", initial_workers=1)
    listed = management.list_models(limit=2)
    registered = management.register_model(register_model_request={"url": "simple", "model_name": "again"})

refused = []
for schema, body in plan["wrong"]:
    try:
        found(onnxd_client, schema).from_dict(body)
    except ValueError:
        refused.append(body)

print(
    json.dumps(
        {
            "results": results,
            "raw": list(raw[-2:]),
            "digit": classes[0].var_class,
            "lastInference": max(one.last_inference for one in statistics.model_stats),
            "models": len(statistics.model_stats),
            "uploaded": uploaded.status,
            "registered": registered.status,
            "listed": len(listed.models),
            "refused": len(refused),
        }
    )
)
