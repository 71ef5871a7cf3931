// A file to the pixels that the network takes: as `tenfold predict` reads it (data/images/pillow.py).
// JPEG and PNG are decoded here, all else by the browser.

import { decodeJpeg, readJpegHeader } from "./jpeg.js";
import { decodePng, readPngHeader } from "./png.js";
import { resizeToCover } from "./resize.js";

const LEAST_DRAFT = 1.25; // of the size wanted, that a JPEG is decoded at
const MOST_PIXELS = 100e6;
const ORIENTATION_TAG = 0x0112;
const UNREADABLE = "The image cannot be read: not an image of a known format, or damaged. PNG, JPEG, WebP, GIF, BMP, and what else this browser shows, are taken.";

/** Give uint8 pixels, height × width × channels of `shape`; whole numbers of 16 bits use `ranges`. */
export async function pixelsOf(blob, shape, ranges) {
  const [height, width, channels] = shape;
  const bytes = new Uint8Array(await blob.arrayBuffer());
  if (bytes.length === 0) throw new Error("The image is empty: it has 0 bytes.");
  let image;
  let orientation = 1;
  let content = null;
  if (bytes[0] === 0xff && bytes[1] === 0xd8 && bytes[2] === 0xff) {
    const header = readJpegHeader(bytes);
    checkSize(header);
    orientation = orientationOf(header);
    const least = Math.ceil(LEAST_DRAFT * Math.max(height, width));
    const most = Math.min(Math.floor(header.width / least), Math.floor(header.height / least));
    const scale = [8, 4, 2, 1].find((one) => most >= one) ?? 1;
    content = [0, 0, header.width / scale, header.height / scale];
    image = decodeJpeg(header, scale);
  } else if (bytes[0] === 0x89 && bytes[1] === 0x50 && bytes[2] === 0x4e && bytes[3] === 0x47) {
    const header = readPngHeader(bytes);
    checkSize(header);
    orientation = orientationOf(header);
    const decoded = await decodePng(header);
    image = overWhite(decoded.data instanceof Uint16Array ? to8Bits(decoded, ranges.integers) : decoded);
  } else {
    image = await byBrowser(blob);
  }
  image = inChannels(image, channels);
  const isTurned = orientation >= 5;
  const [tall, wide] = isTurned ? [width, height] : [height, width];
  image = resizeToCover(image, tall, wide, content ?? [0, 0, image.width, image.height]);
  return upright(image, orientation).data;
}

function checkSize({ width, height }) {
  if (width * height > MOST_PIXELS) {
    throw new Error(`The image has ${width.toLocaleString("en")} × ${height.toLocaleString("en")} pixels; up to 100 million are taken here. Make it smaller.`);
  }
}

async function byBrowser(blob) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(blob, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  } catch {
    throw new Error(UNREADABLE);
  }
  const { width, height } = bitmap;
  checkSize(bitmap);
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  context.fillStyle = "white";
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const { data } = context.getImageData(0, 0, width, height);
  const colours = new Uint8Array(3 * width * height);
  for (let n = 0; n < width * height; n += 1) for (let c = 0; c < 3; c += 1) colours[3 * n + c] = data[4 * n + c];
  return { width, height, channels: 3, data: colours };
}

// More than 8 bits, scaled by the range that the training images use; else by the fewest bits.
function to8Bits(image, range) {
  const low = range ? Math.trunc(range.low) : 0;
  let high = range ? Math.ceil(range.high) : 0;
  if (!range) {
    const most = image.data.reduce((sofar, one) => (one > sofar ? one : sofar), 0);
    high = 2 ** Math.max(8, 32 - Math.clz32(most)) - 1;
  }
  const span = high - low;
  const data = new Uint8Array(image.data.length);
  for (let n = 0; n < data.length; n += 1) {
    const value = Math.min(high, Math.max(low, image.data[n]));
    data[n] = Math.floor((510 * (value - low) + span) / (2 * span));
  }
  return { ...image, data };
}

// As Pillow lays a picture over opaque white, in its whole numbers.
function overWhite(image) {
  const { alpha, channels, data } = image;
  if (!alpha) return image;
  const result = new Uint8Array(data.length);
  for (let n = 0; n < data.length; n += 1) {
    const own = alpha[Math.floor(n / channels)] * 128;
    const sum = data[n] * own + 255 * (255 * 128 - own) + 128 * 128;
    result[n] = ((sum >> 8) + sum) >> 15;
  }
  return { ...image, data: result };
}

function inChannels(image, channels) {
  if (image.channels === channels) return image;
  const count = image.width * image.height;
  const data = new Uint8Array(count * channels);
  for (let n = 0; n < count; n += 1) {
    if (channels === 1) {
      const at = 3 * n;
      data[n] = (19595 * image.data[at] + 38470 * image.data[at + 1] + 7471 * image.data[at + 2] + 32768) >> 16;
    } else {
      data.fill(image.data[n], 3 * n, 3 * n + 3);
    }
  }
  return { ...image, channels, data };
}

// Of EXIF, else of XMP; 1 is upright.
function orientationOf({ exif, xmp }) {
  const found = exif ? exifOrientation(exif) : null;
  if (found !== null) return found >= 1 && found <= 8 ? found : 1;
  const match = xmp && /tiff:Orientation(?:="|>)([0-9])/.exec(new TextDecoder("latin1").decode(xmp));
  return match && match[1] >= 1 && match[1] <= 8 ? Number(match[1]) : 1;
}

function exifOrientation(block) {
  const view = new DataView(block.buffer, block.byteOffset, block.length);
  try {
    const order = String.fromCharCode(block[0], block[1]);
    if (order !== "II" && order !== "MM") return null;
    const isLittle = order === "II";
    const start = view.getUint32(4, isLittle);
    for (let n = 0, count = view.getUint16(start, isLittle); n < count; n += 1) {
      const at = start + 2 + 12 * n;
      if (view.getUint16(at, isLittle) !== ORIENTATION_TAG) continue;
      return view.getUint16(at + 2, isLittle) === 4 ? view.getUint32(at + 8, isLittle) : view.getUint16(at + 8, isLittle);
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
  }
  return null;
}

// What undoes each EXIF orientation: whether to swap the axes, then to mirror each.
const TURNS = { 2: [0, 1, 0], 3: [0, 1, 1], 4: [0, 0, 1], 5: [1, 0, 0], 6: [1, 1, 0], 7: [1, 1, 1], 8: [1, 0, 1] };

function upright(image, orientation) {
  const turn = TURNS[orientation];
  if (!turn) return image;
  const [isSwapped, mirrorsX, mirrorsY] = turn;
  const { channels } = image;
  const [width, height] = isSwapped ? [image.height, image.width] : [image.width, image.height];
  const data = new Uint8Array(image.data.length);
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      const fromX = mirrorsX ? width - 1 - x : x;
      const fromY = mirrorsY ? height - 1 - y : y;
      const at = (isSwapped ? fromX * image.width + fromY : fromY * image.width + fromX) * channels;
      for (let c = 0; c < channels; c += 1) data[(y * width + x) * channels + c] = image.data[at + c];
    }
  }
  return { width, height, channels, data };
}
