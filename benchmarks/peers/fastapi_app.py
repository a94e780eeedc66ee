"""FastAPI and onnxruntime in one process, as most teams write it."""

from fastapi import FastAPI, Request, Response
from pydantic import BaseModel

from onnx_model import OnnxModel


class Tensor(BaseModel):
    name: str
    shape: list[int]
    datatype: str
    data: list[float]


class InferRequest(BaseModel):
    inputs: list[Tensor]


app = FastAPI()
model = OnnxModel()


@app.post("/bytes")
async def predict_bytes(request: Request):
    return Response(model.answer_bytes(await request.body()), media_type="application/octet-stream")


@app.post("/v2")
async def predict_v2(request: InferRequest):
    return model.answer_v2(request.inputs[0].data)
