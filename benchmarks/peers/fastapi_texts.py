"""Embeddings with FastAPI, tokenizers and onnxruntime in one process, as most teams write it."""

import os

import numpy
import onnxruntime
from fastapi import FastAPI
from pydantic import BaseModel
from tokenizers import Tokenizer

MODEL = os.environ["PEER_MODEL"]

tokenizer = Tokenizer.from_file(os.path.join(os.path.dirname(MODEL), "tokenizer.json"))
tokenizer.enable_padding()
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(MODEL, options, providers=["CPUExecutionProvider"])
app = FastAPI()


class EmbedRequest(BaseModel):
    inputs: str | list[str]


# Not async: FastAPI runs it in its pool of threads, so that several texts run at the same time.
@app.post("/embed")
def embed(request: EmbedRequest):
    texts = [request.inputs] if isinstance(request.inputs, str) else request.inputs
    encoded = tokenizer.encode_batch(texts)
    ids = numpy.array([one.ids for one in encoded], dtype=numpy.int64)
    mask = numpy.array([one.attention_mask for one in encoded], dtype=numpy.int64)
    types = numpy.array([one.type_ids for one in encoded], dtype=numpy.int64)
    inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}
    hidden = session.run(None, inputs)[0]
    weights = mask[:, :, None].astype(numpy.float32)
    vectors = (hidden * weights).sum(axis=1) / weights.sum(axis=1)
    vectors /= numpy.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.tolist()
