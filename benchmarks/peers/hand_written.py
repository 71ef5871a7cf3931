"""A server as one writes it by hand, with FastAPI, Pillow and ONNX Runtime: in two ways.

MODEL=model.onnx uvicorn hand_written:app
"""

import io
import json
import os
from typing import Any

import numpy as np
import onnxruntime
from fastapi import FastAPI, Request, UploadFile
from PIL import Image
from starlette.concurrency import run_in_threadpool

session = onnxruntime.InferenceSession(os.environ["MODEL"], providers=["CPUExecutionProvider"])
classes = json.loads(session.get_modelmeta().custom_metadata_map["tenfold.classes"])
height, width = session.get_inputs()[0].shape[1:3]
app = FastAPI()


def answer(content: bytes) -> dict[str, Any]:
    """Say what an image shows."""
    image = Image.open(io.BytesIO(content)).convert("RGB").resize((width, height))
    (rows,) = session.run(["probabilities"], {"images": np.asarray(image)[None]})
    best = rows[0].argsort()[::-1][:10]
    return {"top": [{"class": classes[i], "probability": float(rows[0, i])} for i in best]}


@app.post("/loop/body")
async def body_in_loop(request: Request) -> dict[str, Any]:
    """Compute in the event loop, the shortest way: nobody else is answered meanwhile."""
    return answer(await request.body())


@app.post("/loop/form")
async def form_in_loop(image: UploadFile) -> dict[str, Any]:
    """Do so with the file of a form."""
    return answer(await image.read())


@app.post("/threads/body")
async def body_in_threads(request: Request) -> dict[str, Any]:
    """Compute in a thread of a pool, so that others are answered meanwhile."""
    return await run_in_threadpool(answer, await request.body())


@app.post("/threads/form")
def form_in_threads(image: UploadFile) -> dict[str, Any]:
    """Do so with the file of a form: FastAPI calls what is not async in such a thread."""
    return answer(image.file.read())
