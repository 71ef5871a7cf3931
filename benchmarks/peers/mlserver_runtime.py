"""The same as a runtime of MLServer: image files (BYTES) in, probabilities out."""

import base64
import io

import mlserver
import numpy as np
import onnxruntime
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse
from PIL import Image


class ImageModel(mlserver.MLModel):  # type: ignore[misc] # it may not be installed
    """Takes images as the Open Inference Protocol sends them in JSON, in base64."""

    async def load(self) -> bool:
        """Read the model."""
        self.session = onnxruntime.InferenceSession(
            self.settings.parameters.uri, providers=["CPUExecutionProvider"]
        )
        self.height, self.width = self.session.get_inputs()[0].shape[1:3]
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Compute the images of a request."""
        files = [base64.b64decode(text) for text in payload.inputs[0].data]
        images = [Image.open(io.BytesIO(content)).convert("RGB") for content in files]
        pixels = [np.asarray(image.resize((self.width, self.height))) for image in images]
        (rows,) = self.session.run(["probabilities"], {"images": np.stack(pixels)})
        output = NumpyCodec.encode_output("probabilities", rows)
        return InferenceResponse(model_name=self.name, outputs=[output])
