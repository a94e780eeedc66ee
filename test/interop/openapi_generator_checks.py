"""Uses a client that openapi-generator made. Arguments: address of the server, file of a picture."""

import json
import sys

import onnxd_client
from onnxd_client.models.iris_predict_request import IrisPredictRequest
from onnxd_client.models.iris_infer_request import IrisInferRequest

host, picture = sys.argv[1:]
with onnxd_client.ApiClient(onnxd_client.Configuration(host=host)) as client:
    iris = onnxd_client.IrisApi(client)
    flower = iris.predict_iris(IrisPredictRequest(features=[[5.8, 2.7, 5.1, 1.9]]))
    tensor = {"name": "features", "datatype": "FP32", "shape": [1, 4], "data": [5.8, 2.7, 5.1, 1.9]}
    inferred = iris.infer_iris(IrisInferRequest.from_dict({"inputs": [tensor]}))
    with open(picture, "rb") as file:
        classes = onnxd_client.DigitsApi(client).predict_digits(image=file.read())

refused = []
for value in ([["one", 2, 3, 4]], [1, 2, 3, 4], [[1, 2, 3]]):
    try:
        IrisPredictRequest(features=value)
    except ValueError:
        refused.append(value)

print(json.dumps([flower.label, inferred.model_name, len(inferred.outputs), classes[0].var_class, len(refused)]))
