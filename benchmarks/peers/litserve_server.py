"""The same with LitServe, which gathers batches: litserve_server.py MODEL.onnx PORT."""

import json
import sys
from typing import Any

import litserve
import numpy as np
import numpy.typing as npt
import onnxruntime
from fastapi import Request
from PIL import Image

Pixels = npt.NDArray[np.uint8]


class ImageApi(litserve.LitAPI):  # type: ignore[misc] # it may not be installed
    """Takes an image as the file of a form."""

    def setup(self, device: str) -> None:
        """Read the model."""
        del device
        self.session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
        self.classes = json.loads(
            self.session.get_modelmeta().custom_metadata_map["tenfold.classes"]
        )
        self.height, self.width = self.session.get_inputs()[0].shape[1:3]

    def decode_request(self, request: Request) -> Pixels:
        """Give the pixels; LitServe reads the annotation, and gives the form."""
        image = Image.open(request["image"].file)
        return np.asarray(image.convert("RGB").resize((self.width, self.height)))

    def batch(self, inputs: list[Pixels]) -> Pixels:
        """Put images together."""
        return np.stack(inputs)

    def predict(self, x: Pixels) -> npt.NDArray[np.float32]:
        """Compute a batch."""
        rows: npt.NDArray[np.float32]
        (rows,) = self.session.run(["probabilities"], {"images": x})
        return rows

    def unbatch(self, output: npt.NDArray[np.float32]) -> list[npt.NDArray[np.float32]]:
        """Take them apart."""
        return list(output)

    def encode_response(self, output: npt.NDArray[np.float32]) -> dict[str, Any]:
        """Say what an image shows."""
        best = output.argsort()[::-1][:10]
        return {"top": [{"class": self.classes[i], "probability": float(output[i])} for i in best]}


if __name__ == "__main__":
    api = ImageApi(max_batch_size=32)
    server = litserve.LitServer(api, accelerator="cpu")
    server.run("127.0.0.1", int(sys.argv[2]), log_level="error", generate_client_file=False)
