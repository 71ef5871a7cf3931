// Scaling as Pillow does it for `tenfold predict`, in its whole numbers (libImaging/Reduce.c and
// Resample.c, under the MIT-CMU licence): the picture just covers a rectangle, whose centre is kept.

const SMALL_PIXELS = 128 * 128; // resized by Lanczos, larger ones by bicubic (decision 032)
const REDUCING_GAP = 3;
const PRECISION = 4194304; // 22 bits

/** Give the part of `content` (left, top, right, bottom) that covers height × width, resized. */
export function resizeToCover(image, height, width, content) {
  const [first, upper, last, lower] = content;
  if (image.width === width && image.height === height && first === 0 && upper === 0 && last === width && lower === height) return image;
  const fullWidth = last - first;
  const fullHeight = lower - upper;
  const usedWidth = Math.min(fullWidth, (fullHeight * width) / height);
  const usedHeight = Math.min(fullHeight, (fullWidth * height) / width);
  const left = first + (fullWidth - usedWidth) / 2;
  const top = upper + (fullHeight - usedHeight) / 2;
  const filter = image.width * image.height <= SMALL_PIXELS ? LANCZOS : BICUBIC;
  return resize(image, width, height, filter, [left, top, left + usedWidth, top + usedHeight]);
}

function resize(image, width, height, filter, box) {
  const factorX = Math.trunc((box[2] - box[0]) / width / REDUCING_GAP) || 1;
  const factorY = Math.trunc((box[3] - box[1]) / height / REDUCING_GAP) || 1;
  if (factorX === 1 && factorY === 1) return resample(image, width, height, filter, box);
  const reach = filter.support - 0.5;
  const reachX = (reach * (box[2] - box[0])) / width;
  const reachY = (reach * (box[3] - box[1])) / height;
  const safe = [
    Math.max(0, Math.trunc(box[0] - reachX)),
    Math.max(0, Math.trunc(box[1] - reachY)),
    Math.min(image.width, Math.ceil(box[2] + reachX)),
    Math.min(image.height, Math.ceil(box[3] + reachY)),
  ];
  const scaled = [0, 1, 2, 3].map((n) => (box[n] - safe[n % 2]) / (n % 2 ? factorY : factorX));
  return resample(reduce(image, factorX, factorY, safe), width, height, filter, scaled);
}

function reduce(image, factorX, factorY, [left, top, right, bottom]) {
  const { channels } = image;
  const width = Math.ceil((right - left) / factorX);
  const height = Math.ceil((bottom - top) / factorY);
  const data = new Uint8Array(width * height * channels);
  for (let y = 0; y < height; y += 1) {
    const [yFrom, yTo] = [top + y * factorY, Math.min(bottom, top + (y + 1) * factorY)];
    for (let x = 0; x < width; x += 1) {
      const [xFrom, xTo] = [left + x * factorX, Math.min(right, left + (x + 1) * factorX)];
      const count = (yTo - yFrom) * (xTo - xFrom);
      const multiplier = Math.trunc(Math.fround(4294967296 / Math.fround(256 * count)));
      for (let c = 0; c < channels; c += 1) {
        let sum = count >> 1;
        for (let yy = yFrom; yy < yTo; yy += 1) {
          const row = yy * image.width;
          for (let xx = xFrom; xx < xTo; xx += 1) sum += image.data[(row + xx) * channels + c];
        }
        data[(y * width + x) * channels + c] = Math.floor((sum * multiplier) / 16777216);
      }
    }
  }
  return { width, height, channels, data };
}

function resample(image, width, height, filter, box) {
  const [left, top, right, bottom] = box.map(Math.fround); // single precision there
  const across = (from) => along(from, width, 1, coefficients(from.width, left, right, width, filter));
  const down = (from) => along(from, height, from.width, coefficients(from.height, top, bottom, height, filter));
  // The order that Pillow 13 takes; each pass rounds to whole numbers, so it is seen in the result.
  const isDownFirst = image.height - height > 2 * Math.max(0, image.width - width);
  return isDownFirst ? across(down(image)) : down(across(image));
}

// One pass: across where neighbours are 1 pixel apart, down where they are a row apart.
function along(image, size, apart, places) {
  const { channels, data } = image;
  const isAcross = apart === 1;
  const [width, height] = isAcross ? [size, image.height] : [image.width, size];
  const result = new Uint8Array(width * height * channels);
  const step = apart * channels;
  let to = 0;
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      const { from, weights } = places[isAcross ? x : y];
      const start = (isAcross ? y * image.width + from : from * image.width + x) * channels;
      for (let c = 0; c < channels; c += 1, to += 1) {
        let sum = PRECISION / 2;
        for (let n = 0, at = start + c; n < weights.length; n += 1, at += step) sum += data[at] * weights[n];
        result[to] = clipped(sum);
      }
    }
  }
  return { width, height, channels, data: result };
}

function clipped(sum) {
  const value = Math.floor(sum / PRECISION);
  return value < 0 ? 0 : value > 255 ? 255 : value;
}

function coefficients(size, begin, end, outSize, filter) {
  const scale = Math.fround(end - begin) / outSize;
  const filterScale = Math.max(1, scale);
  const support = filter.support * filterScale;
  const inverse = 1 / filterScale;
  return Array.from({ length: outSize }, (_, place) => {
    const center = begin + (place + 0.5) * scale;
    const from = Math.max(0, Math.trunc(center - support + 0.5));
    const to = Math.min(size, Math.trunc(center + support + 0.5));
    const weights = [];
    let total = 0;
    for (let n = from; n < to; n += 1) {
      weights.push(filter.at((n - center + 0.5) * inverse));
      total += weights[weights.length - 1];
    }
    const whole = (weight) => Math.trunc(weight * PRECISION + (weight < 0 ? -0.5 : 0.5));
    return { from, weights: weights.map((one) => whole(total === 0 ? one : one / total)) };
  });
}

const BICUBIC = {
  support: 2,
  at(distance) {
    const x = Math.abs(distance);
    if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
    return x < 2 ? (((x - 5) * x + 8) * x - 4) * -0.5 : 0;
  },
};
const LANCZOS = {
  support: 3,
  at(x) { return x >= -3 && x < 3 ? sinc(x) * sinc(x / 3) : 0; },
};

function sinc(x) { return x === 0 ? 1 : Math.sin(x * Math.PI) / (x * Math.PI); }
