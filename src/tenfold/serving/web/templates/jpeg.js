// JPEG to pixels as libjpeg-turbo gives them to `tenfold predict`, bit for bit, at 1, 1/2, 1/4 or
// 1/8 of the size: browsers cannot decode a part of a JPEG, and each rounds in its own way. Here
// the file becomes coefficients.

import { DAMAGED, inverse, inverseAll, toColours } from "./samples.js";

const ZIGZAG = new Uint8Array([
  0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13,
  6, 7, 14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45,
  38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
  // A damaged file may point beyond the block; libjpeg has the same margin.
  63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63, 63,
]);
const MOST_SCANS = 256;
const TRUNCATED = "The image cannot be read: this JPEG is cut off.";

/** Give what a JPEG's header says: width, height, EXIF and XMP blocks; the frame and its tables. */
export function readJpegHeader(bytes) {
  const header = { bytes, exif: null, xmp: null, quantization: [], dc: [], ac: [], restart: 0, jfif: false, adobe: -1 };
  let at = 2;
  for (;;) {
    at = nextMarker(bytes, at);
    const marker = bytes[at - 1];
    if (marker === 0xd9) throw new Error(DAMAGED);
    if (marker >= 0xd0 && marker <= 0xd8) continue;
    const size = word(bytes, at);
    const part = bytes.subarray(at + 2, at + size);
    if (size < 2 || at + size > bytes.length) throw new Error(TRUNCATED);
    if (marker === 0xda) {
      if (!header.frame) throw new Error(DAMAGED);
      return { ...header, scanAt: at };
    }
    if (marker === 0xe1 && starts(part, "Exif\0\0")) header.exif ??= part.subarray(6);
    if (marker === 0xe1 && starts(part, "http://ns.adobe.com/xap/1.0/\0")) header.xmp = part;
    if (marker === 0xe0 && starts(part, "JFIF\0")) header.jfif = true;
    if (marker === 0xee && starts(part, "Adobe") && part.length >= 12) header.adobe = part[11];
    readTable(header, marker, part);
    if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker)) {
      if (header.frame) throw new Error(DAMAGED);
      header.frame = readFrame(marker, part);
      header.width = header.frame.width;
      header.height = header.frame.height;
    }
    at += size;
  }
}

/** Give the pixels, { width, height, channels, data }, of a header's image: `scale` 1, 2, 4 or 8. */
export function decodeJpeg(header, scale) {
  const { frame } = header;
  plan(frame, 8 / scale);
  readScans(header);
  const width = Math.ceil(frame.width / scale);
  const height = Math.ceil(frame.height / scale);
  return { width, height, ...toColours(header, width, height) };
}

function starts(part, text) {
  for (let n = 0; n < text.length; n += 1) if (part[n] !== text.charCodeAt(n)) return false;
  return true;
}

function word(bytes, at) { return (bytes[at] << 8) | bytes[at + 1]; }

function nextMarker(bytes, start) {
  for (let at = start; at + 1 < bytes.length; at += 1) {
    if (bytes[at] === 0xff && bytes[at + 1] !== 0 && bytes[at + 1] !== 0xff) return at + 2;
  }
  throw new Error(TRUNCATED);
}

function readFrame(marker, part) {
  if (![0xc0, 0xc1, 0xc2].includes(marker) || part[0] !== 8) {
    throw new Error("The image cannot be read: a JPEG of a rare kind (arithmetic, lossless or 12-bit coding). Convert it to PNG.");
  }
  const frame = { isProgressive: marker === 0xc2, height: word(part, 1), width: word(part, 3), components: [] };
  const count = part[5];
  if (![1, 3, 4].includes(count) || part.length < 6 + 3 * count || !frame.width || !frame.height) throw new Error(DAMAGED);
  for (let n = 0; n < count; n += 1) {
    const [id, factors, table] = part.subarray(6 + 3 * n, 9 + 3 * n);
    const one = { id, h: factors >> 4, v: factors & 15, table };
    if (one.h < 1 || one.h > 4 || one.v < 1 || one.v > 4 || table > 3) throw new Error(DAMAGED);
    frame.components.push(one);
  }
  frame.h = Math.max(...frame.components.map((one) => one.h));
  frame.v = Math.max(...frame.components.map((one) => one.v));
  return frame;
}

// Sizes of each component: `size` is the side of what one block becomes (jdmaster.c).
function plan(frame, least) {
  const mcuColumns = Math.ceil(frame.width / (8 * frame.h));
  const mcuRows = Math.ceil(frame.height / (8 * frame.v));
  Object.assign(frame, { least, mcuColumns, mcuRows });
  for (const one of frame.components) {
    let size = least;
    while (size < 8 && (frame.h * least) % (one.h * size * 2) === 0 && (frame.v * least) % (one.v * size * 2) === 0) size *= 2;
    one.size = size;
    one.width = Math.ceil((frame.width * one.h * size) / (frame.h * 8));
    one.height = Math.ceil((frame.height * one.v * size) / (frame.v * 8));
    one.blockColumns = Math.ceil(Math.ceil((frame.width * one.h) / frame.h) / 8);
    one.blockRows = Math.ceil(Math.ceil((frame.height * one.v) / frame.v) / 8);
    one.columns = mcuColumns * one.h; // blocks that are stored
    one.rows = mcuRows * one.v;
    one.stride = one.columns * size;
    one.plane = new Uint8Array(one.stride * one.rows * size);
    one.coefficients = null;
  }
}

function readTable(header, marker, part) {
  let at = 0;
  if (marker === 0xdb) {
    while (at < part.length) {
      const [wide, place] = [part[at] >> 4, part[at] & 15];
      at += 1;
      if (place > 3 || at + (wide ? 128 : 64) > part.length) throw new Error(DAMAGED);
      const table = new Int32Array(64);
      for (let n = 0; n < 64; n += 1, at += wide ? 2 : 1) table[ZIGZAG[n]] = wide ? word(part, at) : part[at];
      header.quantization[place] = table;
    }
  } else if (marker === 0xc4) {
    while (at + 17 <= part.length) {
      const place = part[at];
      const counts = part.subarray(at + 1, at + 17);
      const total = counts.reduce((sum, one) => sum + one, 0);
      if ((place & 15) > 3 || total > 256 || at + 17 + total > part.length) throw new Error(DAMAGED);
      header[place >> 4 ? "ac" : "dc"][place & 15] = huffman(counts, part.slice(at + 17, at + 17 + total));
      at += 17 + total;
    }
  } else if (marker === 0xdd) {
    header.restart = word(part, 0);
  }
}

const LOOK_BITS = 9;

// `look`: length and symbol of every code of up to nine bits; longer ones by comparison (jdhuff.c).
function huffman(counts, symbols) {
  const look = new Uint16Array(1 << LOOK_BITS);
  const most = new Int32Array(18).fill(-1);
  const offset = new Int32Array(17);
  let code = 0;
  let place = 0;
  for (let length = 1; length <= 16; length += 1) {
    offset[length] = place - code;
    for (let n = 0; n < counts[length - 1]; n += 1, code += 1, place += 1) {
      if (code >= 1 << length) throw new Error(DAMAGED);
      if (length > LOOK_BITS) continue;
      const first = code << (LOOK_BITS - length);
      look.fill((length << 8) | symbols[place], first, first + (1 << (LOOK_BITS - length)));
    }
    if (counts[length - 1]) most[length] = code - 1;
    code <<= 1;
  }
  return { look, most, offset, symbols };
}

// Bits of a scan. After a marker come zeros without end, as libjpeg does; after the file, an error.
class Bits {
  constructor(bytes, at) {
    Object.assign(this, { bytes, at, held: 0, count: 0, marker: 0 });
  }

  need(count) {
    while (this.count < count) {
      let next = 0;
      if (this.marker === 0) {
        if (this.at >= this.bytes.length) throw new Error(TRUNCATED);
        next = this.bytes[this.at];
        this.at += 1;
        if (next === 0xff) {
          while (this.bytes[this.at] === 0xff) this.at += 1;
          if (this.at >= this.bytes.length) throw new Error(TRUNCATED);
          const marker = this.bytes[this.at];
          this.at += 1;
          if (marker !== 0) {
            this.marker = marker;
            next = 0;
          }
        }
      }
      this.held = ((this.held << 8) | next) & 0xffffff;
      this.count += 8;
    }
  }

  take(count) {
    if (count === 0) return 0;
    this.need(count);
    this.count -= count;
    return (this.held >> this.count) & ((1 << count) - 1);
  }

  symbol(table) {
    if (this.count < LOOK_BITS) this.need(LOOK_BITS);
    const found = table.look[(this.held >> (this.count - LOOK_BITS)) & ((1 << LOOK_BITS) - 1)];
    if (found) {
      this.count -= found >> 8;
      return found & 255;
    }
    let length = LOOK_BITS;
    let code = this.take(LOOK_BITS);
    do {
      code = (code << 1) | this.take(1);
      length += 1;
      if (length > 16) return 0; // a wrong code, a zero for libjpeg
    } while (code > table.most[length]);
    return table.symbols[code + table.offset[length]] ?? 0;
  }

  signed(count) {
    const value = this.take(count);
    return count && value < 1 << (count - 1) ? value - (1 << count) + 1 : value;
  }

  restart(number) {
    this.count = this.held = 0;
    if (this.marker === 0) {
      this.at = nextMarker(this.bytes, this.at);
      this.marker = this.bytes[this.at - 1];
    }
    if (this.marker !== 0xd0 + number) throw new Error(DAMAGED);
    this.marker = 0;
  }
}

function readScans(header) {
  const { bytes, frame } = header;
  let at = header.scanAt;
  for (let scans = 0; scans < MOST_SCANS; scans += 1) {
    at = readScan(header, at);
    for (;;) {
      at = nextMarker(bytes, at);
      const marker = bytes[at - 1];
      if (marker === 0xd9) {
        for (const one of frame.components) if (one.coefficients) inverseAll(one, header);
        return;
      }
      if (marker >= 0xd0 && marker <= 0xd8) continue;
      if (marker === 0xda) break;
      const size = word(bytes, at);
      if (size < 2 || at + size > bytes.length) throw new Error(TRUNCATED);
      readTable(header, marker, bytes.subarray(at + 2, at + size));
      at += size;
    }
  }
  throw new Error(DAMAGED);
}

function readScan(header, start) {
  const { bytes, frame } = header;
  const count = bytes[start + 2];
  const components = [];
  for (let n = 0; n < count; n += 1) {
    const one = frame.components.find((other) => other.id === bytes[start + 3 + 2 * n]);
    const tables = bytes[start + 4 + 2 * n];
    if (!one || components.includes(one)) throw new Error(DAMAGED);
    Object.assign(one, { dc: header.dc[tables >> 4], ac: header.ac[tables & 15], last: 0 });
    components.push(one);
  }
  const after = start + 3 + 2 * count;
  const scan = { first: bytes[after], final: bytes[after + 1], high: bytes[after + 2] >> 4, low: bytes[after + 2] & 15, run: 0 };
  if (count < 1 || count > 4 || scan.final > 63 || scan.first > scan.final) throw new Error(DAMAGED);
  const bits = new Bits(bytes, start + word(bytes, start));
  const isKept = frame.isProgressive || count < frame.components.length;
  for (const one of components) {
    if (isKept) one.coefficients ??= new Int16Array(64 * one.columns * one.rows);
    const needsDc = !frame.isProgressive || (scan.first === 0 && scan.high === 0);
    const needsAc = !frame.isProgressive || scan.first > 0;
    if ((needsDc && !one.dc) || (needsAc && !one.ac)) throw new Error(DAMAGED);
  }
  const readBlock = blockReader(frame, scan);
  const block = new Int16Array(64);
  const decode = (one, row, column) => {
    if (isKept) {
      readBlock(bits, one, one.coefficients, 64 * (row * one.columns + column), scan);
    } else {
      block.fill(0);
      readBlock(bits, one, block, 0, scan);
      inverse(one, header, block, 0, row, column);
    }
  };
  const [alone] = components;
  const columns = count === 1 ? alone.blockColumns : frame.mcuColumns;
  const total = columns * (count === 1 ? alone.blockRows : frame.mcuRows);
  for (let unit = 0; unit < total; unit += 1) {
    if (header.restart && unit > 0 && unit % header.restart === 0) {
      bits.restart((unit / header.restart - 1) & 7);
      scan.run = 0;
      for (const one of components) one.last = 0;
    }
    const row = Math.floor(unit / columns);
    const column = unit % columns;
    if (count === 1) {
      decode(alone, row, column);
      continue;
    }
    for (const one of components) {
      for (let y = 0; y < one.v; y += 1) for (let x = 0; x < one.h; x += 1) decode(one, row * one.v + y, column * one.h + x);
    }
  }
  return bits.marker ? bits.at - 2 : bits.at;
}

function blockReader(frame, scan) {
  if (!frame.isProgressive) return baseline;
  if (scan.first === 0) return scan.high === 0 ? firstDc : refineDc;
  return scan.high === 0 ? firstAc : refineAc;
}

function baseline(bits, one, out, base) {
  one.last += bits.signed(bits.symbol(one.dc) & 15);
  out[base] = one.last;
  for (let n = 1; n < 64; n += 1) {
    const symbol = bits.symbol(one.ac);
    const size = symbol & 15;
    n += symbol >> 4;
    if (size === 0) {
      if (symbol !== 0xf0) return;
      continue;
    }
    out[base + ZIGZAG[n]] = bits.signed(size);
  }
}

function firstDc(bits, one, out, base, scan) {
  one.last += bits.signed(bits.symbol(one.dc) & 15);
  out[base] = one.last << scan.low;
}

function refineDc(bits, one, out, base, scan) {
  if (bits.take(1)) out[base] |= 1 << scan.low;
}

function firstAc(bits, one, out, base, scan) {
  if (scan.run > 0) {
    scan.run -= 1;
    return;
  }
  for (let n = scan.first; n <= scan.final; n += 1) {
    const symbol = bits.symbol(one.ac);
    const [zeros, size] = [symbol >> 4, symbol & 15];
    if (size === 0) {
      if (zeros < 15) {
        scan.run = (1 << zeros) - 1 + bits.take(zeros);
        return;
      }
      n += 15;
      continue;
    }
    n += zeros;
    out[base + ZIGZAG[n]] = bits.signed(size) << scan.low;
  }
}

function refineAc(bits, one, out, base, scan) {
  const bit = 1 << scan.low;
  const refine = (place) => {
    if (bits.take(1) && (out[place] & bit) === 0) out[place] += out[place] < 0 ? -bit : bit;
  };
  let n = scan.first;
  if (scan.run === 0) {
    for (; n <= scan.final; n += 1) {
      const symbol = bits.symbol(one.ac);
      let [zeros, size] = [symbol >> 4, symbol & 15];
      let value = 0;
      if (size > 0) {
        value = bits.take(1) ? bit : -bit;
      } else if (zeros < 15) {
        scan.run = (1 << zeros) + bits.take(zeros);
        break;
      }
      for (; n <= scan.final; n += 1) {
        const place = base + ZIGZAG[n];
        if (out[place] !== 0) {
          refine(place);
        } else {
          zeros -= 1;
          if (zeros < 0) break;
        }
      }
      if (value && n <= scan.final) out[base + ZIGZAG[n]] = value;
    }
  }
  if (scan.run > 0) {
    for (; n <= scan.final; n += 1) if (out[base + ZIGZAG[n]] !== 0) refine(base + ZIGZAG[n]);
    scan.run -= 1;
  }
}
