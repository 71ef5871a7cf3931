// Files to answers, one after the other: pixels as `tenfold predict` makes them, and the network.

import * as ort from "./onnxruntime/ort.wasm.bundle.min.mjs";
import { pixelsOf } from "./picture.js";

const SUM_TOLERANCE = 1e-3;

// One thread: several would need headers that plain web servers do not send.
ort.env.wasm.numThreads = 1;
ort.env.wasm.wasmPaths = { wasm: new URL("./onnxruntime/ort-wasm-simd-threaded.wasm", import.meta.url).href };

const loaded = load();
let last = loaded;

async function load() {
  const [about, content] = await Promise.all([
    fetched("model.json").then((answer) => answer.json()),
    fetched("model.onnx").then((answer) => answer.arrayBuffer()),
  ]);
  const session = await ort.InferenceSession.create(content, { executionProviders: ["wasm"] });
  return { about, session };
}

async function fetched(name) {
  const answer = await fetch(name);
  if (!answer.ok) throw new Error(`${name} is missing (status ${answer.status})`);
  return answer;
}

loaded.then(
  () => postMessage({ isReady: true }),
  (error) => postMessage({ broken: `The model could not be loaded: ${error.message}` }),
);

addEventListener("message", ({ data: { number, file } }) => {
  last = last.catch(() => null).then(async () => {
    try {
      postMessage({ number, result: await classify(file) });
    } catch (error) {
      postMessage({ number, problem: error instanceof RangeError || !error.message ? "The image cannot be read: it is damaged, or too large for this device." : error.message });
    }
  });
});

async function classify(file) {
  const { about, session } = await loaded;
  const pixels = await pixelsOf(file, about.image_shape, about.value_ranges);
  const images = new ort.Tensor("uint8", pixels, [1, ...about.image_shape]);
  const wanted = about.unlike_threshold === null ? ["probabilities"] : ["probabilities", "unlikeness"];
  const outputs = await session.run({ images }, wanted);
  const row = outputs.probabilities.data;
  const sum = row.reduce((sofar, one) => sofar + one, 0);
  if (!(Math.abs(sum - 1) < SUM_TOLERANCE)) throw new Error("The model gives no probabilities for this image: they are not finite, or do not sum to 1.");
  return answerOf(about, row, outputs.unlikeness?.data[0]);
}

function answerOf(about, row, unlikeness) {
  const order = [...row.keys()].sort((a, b) => row[b] - row[a] || a - b);
  const top = order.map((place) => ({ class: about.classes[place], probability: row[place] }));
  const result = { ...top[0], top };
  if (unlikeness !== undefined) result.unlike = unlikeness > Math.fround(about.unlike_threshold);
  const sets = about.prediction_sets;
  if (sets !== null) result.set = order.filter((place, n) => n === 0 || row[place] >= Math.fround(sets.least_probabilities[place])).map((place) => about.classes[place]);
  return result;
}
