// The coefficients of a JPEG to its pixels. The arithmetic is that of libjpeg-turbo's jidctint.c,
// jidctred.c, jdsample.c and jdcolor.c; this software is based in part on the work of the
// Independent JPEG Group.

export const DAMAGED = "The image cannot be read: this JPEG is damaged.";

/** Give all blocks of a component to its plane. */
export function inverseAll(one, header) {
  for (let row = 0; row < one.rows; row += 1) {
    for (let column = 0; column < one.columns; column += 1) {
      inverse(one, header, one.coefficients, 64 * (row * one.columns + column), row, column);
    }
  }
  one.coefficients = null;
}

const work = new Int32Array(64);
const values = new Int32Array(64);

/** Give one block to its component's plane, at one of four sizes. */
export function inverse(one, header, block, base, row, column) {
  const table = header.quantization[one.table];
  if (!table) throw new Error(DAMAGED);
  const at = row * one.size * one.stride + column * one.size;
  if (one.size === 1) {
    one.plane[at] = limited((block[base] * table[0] + 4) >> 3);
    return;
  }
  for (let n = 0; n < 64; n += 1) values[n] = block[base + n] * table[n];
  ({ 8: inverse8, 4: inverse4, 2: inverse2 })[one.size](one.plane, at, one.stride);
}

function limited(value) { return value < -128 ? 0 : value > 127 ? 255 : value + 128; }

// What one line of eight becomes, in 13 bits of fraction; `out` has `step` between its values.
function line8(from, at, step, out, shift) {
  const half = 1 << (shift - 1);
  let z2 = from[at + 2 * step];
  let z3 = from[at + 6 * step];
  let z1 = (z2 + z3) * 4433;
  let t2 = z1 - z3 * 15137;
  let t3 = z1 + z2 * 6270;
  z2 = from[at];
  z3 = from[at + 4 * step];
  let t0 = (z2 + z3) << 13;
  let t1 = (z2 - z3) << 13;
  const [t10, t13, t11, t12] = [t0 + t3, t0 - t3, t1 + t2, t1 - t2];
  t0 = from[at + 7 * step];
  t1 = from[at + 5 * step];
  t2 = from[at + 3 * step];
  t3 = from[at + step];
  z1 = t0 + t3;
  z2 = t1 + t2;
  z3 = t0 + t2;
  let z4 = t1 + t3;
  const z5 = (z3 + z4) * 9633;
  z1 *= -7373;
  z2 *= -20995;
  z3 = z3 * -16069 + z5;
  z4 = z4 * -3196 + z5;
  t0 = t0 * 2446 + z1 + z3;
  t1 = t1 * 16819 + z2 + z4;
  t2 = t2 * 25172 + z2 + z3;
  t3 = t3 * 12299 + z1 + z4;
  out[0] = (t10 + t3 + half) >> shift;
  out[7] = (t10 - t3 + half) >> shift;
  out[1] = (t11 + t2 + half) >> shift;
  out[6] = (t11 - t2 + half) >> shift;
  out[2] = (t12 + t1 + half) >> shift;
  out[5] = (t12 - t1 + half) >> shift;
  out[3] = (t13 + t0 + half) >> shift;
  out[4] = (t13 - t0 + half) >> shift;
}

const line = new Int32Array(8);

function inverse8(plane, at, stride) {
  for (let x = 0; x < 8; x += 1) {
    line8(values, x, 8, line, 11);
    for (let y = 0; y < 8; y += 1) work[8 * y + x] = line[y];
  }
  for (let y = 0; y < 8; y += 1) {
    line8(work, 8 * y, 1, line, 18);
    const start = at + y * stride;
    for (let x = 0; x < 8; x += 1) plane[start + x] = limited(line[x]);
  }
}

function line4(from, at, step, out, shift) {
  const half = 1 << (shift - 1);
  const even = from[at] << 14;
  const turn = from[at + 2 * step] * 15137 - from[at + 6 * step] * 6270;
  const [z1, z2, z3, z4] = [from[at + 7 * step], from[at + 5 * step], from[at + 3 * step], from[at + step]];
  const t0 = z1 * -1730 + z2 * 11893 - z3 * 17799 + z4 * 8697;
  const t2 = z1 * -4176 - z2 * 4926 + z3 * 7373 + z4 * 20995;
  out[0] = (even + turn + t2 + half) >> shift;
  out[3] = (even + turn - t2 + half) >> shift;
  out[1] = (even - turn + t0 + half) >> shift;
  out[2] = (even - turn - t0 + half) >> shift;
}

function inverse4(plane, at, stride) {
  for (let x = 0; x < 8; x += 1) {
    if (x === 4) continue;
    line4(values, x, 8, line, 12);
    for (let y = 0; y < 4; y += 1) work[8 * y + x] = line[y];
  }
  for (let y = 0; y < 4; y += 1) {
    line4(work, 8 * y, 1, line, 19);
    const start = at + y * stride;
    for (let x = 0; x < 4; x += 1) plane[start + x] = limited(line[x]);
  }
}

function line2(from, at, step, out, shift) {
  const half = 1 << (shift - 1);
  const even = from[at] << 15;
  const odd = from[at + 7 * step] * -5906 + from[at + 5 * step] * 6967 - from[at + 3 * step] * 10426 + from[at + step] * 29692;
  out[0] = (even + odd + half) >> shift;
  out[1] = (even - odd + half) >> shift;
}

function inverse2(plane, at, stride) {
  for (const x of [0, 1, 3, 5, 7]) {
    line2(values, x, 8, line, 13);
    work[x] = line[0];
    work[8 + x] = line[1];
  }
  for (let y = 0; y < 2; y += 1) {
    line2(work, 8 * y, 1, line, 20);
    plane[at + y * stride] = limited(line[0]);
    plane[at + y * stride + 1] = limited(line[1]);
  }
}

// One row of a component at the image's full width, into `out` (jdsample.c).
function upsampler(one, frame, width) {
  const rowsOf = frame.v / ((one.v * one.size) / frame.least);
  const columnsOf = frame.h / ((one.h * one.size) / frame.least);
  const { plane, stride } = one;
  const isFancy = frame.least > 1;
  if (!Number.isInteger(rowsOf) || !Number.isInteger(columnsOf)) throw new Error(DAMAGED);
  if (rowsOf === 1 && columnsOf === 1) return (y, out) => out.set(plane.subarray(y * stride, y * stride + width));
  const sums = new Int32Array(one.width);
  const near = (y) => {
    // Three quarters of the nearer row, a quarter of the next; at the edges it is the same one.
    const row = y >> 1;
    const other = Math.min(one.height - 1, Math.max(0, y & 1 ? row + 1 : row - 1));
    for (let x = 0; x < one.width; x += 1) sums[x] = 3 * plane[row * stride + x] + plane[other * stride + x];
  };
  if (columnsOf === 1 && rowsOf === 2 && isFancy) {
    return (y, out) => {
      near(y);
      const bias = y & 1 ? 2 : 1;
      for (let x = 0; x < width; x += 1) out[x] = (sums[x] + bias) >> 2;
    };
  }
  const isWide = one.width > 2;
  if (columnsOf === 2 && rowsOf === 1 && isFancy && isWide) {
    return (y, out) => {
      for (let x = 0; x < one.width; x += 1) sums[x] = plane[y * stride + x];
      spread(sums, one.width, out, 1, 2, 2, 0);
    };
  }
  if (columnsOf === 2 && rowsOf === 2 && isFancy && isWide) {
    return (y, out) => {
      near(y);
      spread(sums, one.width, out, 8, 7, 4, 2);
    };
  }
  return (y, out) => {
    const start = Math.floor(y / rowsOf) * stride;
    for (let x = 0; x < width; x += 1) out[x] = plane[start + Math.floor(x / columnsOf)];
  };
}

// Each value to two: three quarters of it and a quarter of its neighbour, rounded in turns.
function spread(sums, count, out, left, right, shift, edge) {
  const last = count - 1;
  out[0] = edge ? (4 * sums[0] + left) >> shift : sums[0];
  for (let x = 0; x < last; x += 1) {
    out[2 * x + 1] = (3 * sums[x] + sums[x + 1] + right) >> shift;
    out[2 * x + 2] = (3 * sums[x + 1] + sums[x] + left) >> shift;
  }
  out[2 * last + 1] = edge ? (4 * sums[last] + right) >> shift : sums[last];
}

function isYcc({ frame, jfif, adobe }) {
  const ids = frame.components.map((one) => one.id);
  if (ids.length === 4) return adobe === 2;
  if (jfif) return true;
  if (adobe >= 0) return adobe !== 0;
  return String(ids) !== "82,71,66"; // R, G, B
}

/** Give channels and values: gray, or red, green and blue. */
export function toColours(header, width, height) {
  const { frame } = header;
  const { components } = frame;
  const rows = components.map((one) => new Uint8ClampedArray(width + 2 * 8));
  const read = components.map((one) => upsampler(one, frame, width));
  const channels = components.length === 1 ? 1 : 3;
  const data = new Uint8Array(width * height * channels);
  const [first, second, third, fourth] = rows;
  const turns = components.length > 1 && isYcc(header);
  const limit = (value) => (value < 0 ? 0 : value > 255 ? 255 : value);
  let at = 0;
  for (let y = 0; y < height; y += 1) {
    read.forEach((get, n) => get(y, rows[n]));
    if (channels === 1) {
      data.set(first.subarray(0, width), y * width);
      continue;
    }
    for (let x = 0; x < width; x += 1, at += 3) {
      let [red, green, blue] = [first[x], second[x], third[x]];
      if (turns) {
        const [luma, cb, cr] = [red, green - 128, blue - 128];
        red = limit(luma + ((91881 * cr + 32768) >> 16));
        green = limit(luma + ((-22554 * cb - 46802 * cr + 32768) >> 16));
        blue = limit(luma + ((116130 * cb + 32768) >> 16));
      }
      if (fourth) {
        // Printing inks, stored inverted as Adobe does; as Pillow makes colours of them.
        const white = fourth[x];
        const ink = (value) => {
          const product = (turns ? value : 255 - value) * white + 128;
          return limit(white - (((product >> 8) + product) >> 8));
        };
        [red, green, blue] = [ink(red), ink(green), ink(blue)];
      }
      data[at] = red;
      data[at + 1] = green;
      data[at + 2] = blue;
    }
  }
  return { channels, data };
}
