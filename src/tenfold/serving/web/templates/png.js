// PNG to values, all of its kinds: browsers give 8 bits of 16, and colours by their own profiles.

const DAMAGED = "The image cannot be read: this PNG is damaged.";
const TRUNCATED = "The image cannot be read: this PNG is cut off.";
const DEPTHS = { 0: [1, 2, 4, 8, 16], 2: [8, 16], 3: [1, 2, 4, 8], 4: [8, 16], 6: [8, 16] };
const SAMPLES = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 };
const PASSES = [[0, 0, 8, 8], [4, 0, 8, 8], [0, 4, 4, 8], [2, 0, 4, 4], [0, 2, 2, 4], [1, 0, 2, 2], [0, 1, 1, 2]];
const WHOLE = [[0, 0, 1, 1]];

/** Give what a PNG's chunks say: width, height, depth, colour, palette, transparency, EXIF, data. */
export function readPngHeader(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const header = { exif: null, xmp: null, palette: null, transparency: null, parts: [] };
  for (let at = 8; ;) {
    if (at + 12 > bytes.length) throw new Error(TRUNCATED);
    const size = view.getUint32(at);
    const name = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    const part = bytes.subarray(at + 8, at + 8 + size);
    if (part.length < size) throw new Error(TRUNCATED);
    if (name === "IHDR" && size === 13) {
      Object.assign(header, { width: view.getUint32(at + 8), height: view.getUint32(at + 12), depth: part[8], colour: part[9], isInterlaced: part[12] === 1 });
    }
    if (name === "PLTE") header.palette = part;
    if (name === "tRNS") header.transparency = part;
    if (name === "eXIf") header.exif = part;
    if (name === "iTXt" && String.fromCharCode(...part.subarray(0, 17)) === "XML:com.adobe.xmp") header.xmp = part;
    if (name === "IDAT") header.parts.push(part);
    if (name === "IEND") break;
    at += 12 + size;
  }
  if (!header.width || !header.height || !DEPTHS[header.colour]?.includes(header.depth) || !header.parts.length) throw new Error(DAMAGED);
  if (header.colour === 3 && !header.palette) throw new Error(DAMAGED);
  return header;
}

/** Give the values, { width, height, channels, data, alpha }: 8 or 16 bits; alpha may be null. */
export async function decodePng(header) {
  const { width, height, depth, colour } = header;
  const samples = SAMPLES[colour];
  const stored = depth === 16 ? new Uint16Array(width * height * samples) : new Uint8Array(width * height * samples);
  const raw = await inflate(header);
  const pixelBytes = Math.max(1, (samples * depth) >> 3);
  let at = 0;
  for (const [left, top, stepX, stepY] of header.isInterlaced ? PASSES : WHOLE) {
    const columns = Math.ceil((width - left) / stepX);
    const rows = Math.ceil((height - top) / stepY);
    if (columns < 1 || rows < 1) continue;
    const size = Math.ceil((columns * samples * depth) / 8);
    let above = new Uint8Array(size);
    for (let row = 0; row < rows; row += 1, at += size + 1) {
      const line = raw.subarray(at + 1, at + 1 + size);
      if (line.length < size) throw new Error(TRUNCATED);
      undo(raw[at], line, above, pixelBytes);
      above = line;
      const start = (top + row * stepY) * width + left;
      for (let column = 0; column < columns; column += 1) {
        for (let n = 0; n < samples; n += 1) {
          stored[(start + column * stepX) * samples + n] = sample(line, column * samples + n, depth);
        }
      }
    }
  }
  return arrange(header, stored);
}

async function inflate(header) {
  const { width, height, depth, colour, parts } = header;
  const most = (Math.ceil((width * SAMPLES[colour] * depth) / 8) + 8) * (height + 8) * 2; // of any honest file
  const reader = new Blob(parts).stream().pipeThrough(new DecompressionStream("deflate")).getReader();
  const pieces = [];
  let size = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      pieces.push(value);
      size += value.length;
      if (size > most) break;
    }
  } catch {
    throw new Error(DAMAGED);
  }
  const raw = new Uint8Array(size);
  let at = 0;
  for (const piece of pieces) {
    raw.set(piece, at);
    at += piece.length;
  }
  return raw;
}

function undo(filter, line, above, pixelBytes) {
  const size = line.length;
  if (filter === 1) {
    for (let n = pixelBytes; n < size; n += 1) line[n] += line[n - pixelBytes];
  } else if (filter === 2) {
    for (let n = 0; n < size; n += 1) line[n] += above[n];
  } else if (filter === 3) {
    for (let n = 0; n < size; n += 1) line[n] += ((n < pixelBytes ? 0 : line[n - pixelBytes]) + above[n]) >> 1;
  } else if (filter === 4) {
    for (let n = 0; n < size; n += 1) {
      const a = n < pixelBytes ? 0 : line[n - pixelBytes];
      const b = above[n];
      const c = n < pixelBytes ? 0 : above[n - pixelBytes];
      const [toA, toB, toC] = [Math.abs(b - c), Math.abs(a - c), Math.abs(a + b - 2 * c)];
      line[n] += toA <= toB && toA <= toC ? a : toB <= toC ? b : c;
    }
  } else if (filter !== 0) {
    throw new Error(DAMAGED);
  }
}

function sample(line, place, depth) {
  if (depth === 8) return line[place];
  if (depth === 16) return (line[2 * place] << 8) | line[2 * place + 1];
  const perByte = 8 / depth;
  const shift = 8 - depth * (1 + (place % perByte));
  return (line[Math.floor(place / perByte)] >> shift) & ((1 << depth) - 1);
}

function arrange(header, stored) {
  const { width, height, depth, colour, palette, transparency } = header;
  const count = width * height;
  const channels = colour === 2 || colour === 3 || colour === 6 ? 3 : 1;
  if (colour === 3) {
    const data = new Uint8Array(3 * count);
    const alpha = transparency && new Uint8Array(count);
    for (let n = 0; n < count; n += 1) {
      const entry = stored[n];
      for (let c = 0; c < 3; c += 1) data[3 * n + c] = palette[3 * entry + c] ?? 0;
      if (alpha) alpha[n] = transparency[entry] ?? 255;
    }
    return { width, height, channels, data, alpha };
  }
  if (colour === 4 || colour === 6) {
    const data = new stored.constructor(channels * count);
    const alpha = new Uint8Array(count);
    for (let n = 0; n < count; n += 1) {
      for (let c = 0; c < channels; c += 1) data[channels * n + c] = stored[(channels + 1) * n + c];
      const opacity = stored[(channels + 1) * n + channels];
      alpha[n] = depth === 16 ? opacity >> 8 : opacity;
    }
    return { width, height, channels, data, alpha };
  }
  const isScaled = depth < 8;
  if (isScaled) for (let n = 0; n < count; n += 1) stored[n] *= 255 / ((1 << depth) - 1);
  return { width, height, channels, data: stored, alpha: transparency && depth <= 8 ? keyed(stored, channels, transparency) : null };
}

// One colour is transparent.
function keyed(data, channels, transparency) {
  const key = Array.from({ length: channels }, (_, c) => (transparency[2 * c] << 8) | transparency[2 * c + 1]);
  return Uint8Array.from({ length: data.length / channels }, (_, n) => (key.every((value, c) => data[channels * n + c] === value) ? 0 : 255));
}
