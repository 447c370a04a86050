"use strict";

// Stands in for the server in the page that needs none: prepares a drawing as the server does, and asks `dnnModel`.
// The steps and their constants are those of the module `data.digit_normalization`, for a picture of one colour of
// paper; a test compares the two.

const dnnLocal = (() => {
  const BOX_SIDE = 20;
  const COARSE_SIDE = 100;
  const GRID_CELLS = 24;
  const MIN_CONTRAST = 24;
  const MIN_INK = 0.12;
  const MAX_INK = 1.3;
  const MIN_PART = 0.1;
  const FINE_SIDE = 160;
  const USUAL_STROKES = [1.5, 4];
  const [BROADENED, FINED] = [2, 3.2];

  class NoDigit extends Error {}

  // A grid is {width, height, at}, where `at` holds its rows one after the other.
  const grid = (width, height, at = new Float64Array(width * height)) => ({ width, height, at });

  function cut({ width, at }, left, top, right, bottom) {
    const part = grid(right - left, bottom - top);
    for (let y = top; y < bottom; y++) part.at.set(at.subarray(y * width + left, y * width + right), (y - top) * part.width);
    return part;
  }

  /** Return a grid made smaller by averaging blocks; the last blocks of rows and columns may be smaller. */
  function reduced({ width, height, at }, factor) {
    const small = grid(Math.ceil(width / factor), Math.ceil(height / factor));
    for (let y = 0; y < small.height; y++) {
      for (let x = 0; x < small.width; x++) {
        const [right, bottom] = [Math.min(width, (x + 1) * factor), Math.min(height, (y + 1) * factor)];
        let sum = 0;
        for (let v = y * factor; v < bottom; v++) for (let u = x * factor; u < right; u++) sum += at[v * width + u];
        small.at[y * small.width + x] = Math.round(sum / ((right - x * factor) * (bottom - y * factor)));
      }
    }
    return small;
  }

  function median(values) {
    const sorted = Float64Array.from(values).sort();
    const middle = sorted.length >> 1;
    return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  }

  function border({ width, height, at }) {
    const found = [];
    for (let x = 0; x < width; x++) found.push(at[x], at[(height - 1) * width + x]);
    for (let y = 0; y < height; y++) found.push(at[y * width], at[y * width + width - 1]);
    return found;
  }

  /** Return the threshold that divides values in two with the largest variance between the halves (Otsu 1979). */
  function otsu(values, highest) {
    const step = highest / 255;
    const counts = new Float64Array(256);
    for (const value of values) counts[Math.floor(value / step)]++;
    const all = values.length;
    const total = counts.reduce((sum, count, level) => sum + count * level, 0);
    let [below, sum, best, chosen] = [0, 0, -1, 0];
    counts.forEach((count, level) => {
      below += count;
      sum += count * level;
      const between = (sum * all - below * total) ** 2 / (below * (all - below));
      if (between > best) [best, chosen] = [between, level];
    });
    return (chosen + 1) * step;
  }

  /** Return which pixels lie in or beside the large connected parts of `strong`, which leaves out specks. */
  function nearLargeParts(strong, width, height) {
    const cell = Math.max(1, Math.floor(Math.max(width, height) / GRID_CELLS));
    const stride = Math.ceil(width / cell) + 2;
    const areas = new Int32Array(stride * (Math.ceil(height / cell) + 2));
    const place = (x, y) => (Math.floor(y / cell) + 1) * stride + Math.floor(x / cell) + 1;
    for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) areas[place(x, y)] += strong[y * width + x];
    const around = [-1, 0, 1].flatMap((dy) => [-1, 0, 1].map((dx) => dy * stride + dx));
    const seen = new Uint8Array(areas.length);
    const parts = [];
    areas.forEach((area, start) => {
      if (!area || seen[start]) return;
      const part = [start];
      seen[start] = 1;
      for (const one of part) {
        for (const step of around) {
          if (!areas[one + step] || seen[one + step]) continue;
          seen[one + step] = 1;
          part.push(one + step);
        }
      }
      parts.push({ part, size: part.reduce((sum, one) => sum + areas[one], 0) });
    });
    const largest = Math.max(...parts.map(({ size }) => size));
    const near = new Uint8Array(areas.length);
    for (const { part, size } of parts) {
      if (size >= MIN_PART * largest) for (const one of part) for (const step of around) near[one + step] = 1;
    }
    return (x, y) => near[place(x, y)];
  }

  /** Return the ink of each pixel: 0 for paper, 1 for usual ink. */
  function ink(levels) {
    const { width, height, at } = levels;
    const paper = median(border(levels));
    const distance = at.map((level) => Math.abs(level - paper));
    const highest = distance.reduce((one, other) => Math.max(one, other), 0);
    if (highest < MIN_CONTRAST) throw new NoDigit("no digit found: the picture is a single colour");
    const threshold = otsu(distance, highest);
    const strong = Uint8Array.from(distance, (one) => one > threshold);
    let [sum, count] = [0, 0];
    at.forEach((level, index) => {
      if (strong[index]) [sum, count] = [sum + level - paper, count + 1];
    });
    const direction = sum / count;
    const isNear = nearLargeParts(strong, width, height);
    const found = grid(width, height);
    at.forEach((level, index) => {
      const amount = (level - paper) / direction;
      if (amount >= MIN_INK && isNear(index % width, Math.floor(index / width))) found.at[index] = Math.min(amount, MAX_INK);
    });
    return found;
  }

  function boundingBox({ width, height, at }) {
    let [left, top, right, bottom] = [width, height, 0, 0];
    at.forEach((value, index) => {
      if (!(value > 0)) return;
      const [x, y] = [index % width, Math.floor(index / width)];
      [left, top, right, bottom] = [Math.min(left, x), Math.min(top, y), Math.max(right, x + 1), Math.max(bottom, y + 1)];
    });
    return [left, top, right, bottom];
  }

  function cropToDigit(levels) {
    const factor = Math.max(1, Math.floor(Math.max(levels.width, levels.height) / COARSE_SIDE));
    const found = ink(factor > 1 ? reduced(levels, factor) : levels);
    const [left, top, right, bottom] = boundingBox(found);
    const longer = Math.max(right - left, bottom - top);
    if (factor === 1 || longer >= COARSE_SIDE / 2) return cut(found, left, top, right, bottom);
    const margin = Math.floor(longer / 2);
    return cropToDigit(
      cut(
        levels,
        Math.max(0, left - margin) * factor,
        Math.max(0, top - margin) * factor,
        Math.min(levels.width, (right + margin) * factor),
        Math.min(levels.height, (bottom + margin) * factor),
      ),
    );
  }

  const box = { support: 0.5, weight: (x) => (x > -0.5 && x <= 0.5 ? 1 : 0) };
  const cubic = {
    support: 2,
    weight: (x) => {
      const [a, d] = [-0.5, Math.abs(x)];
      if (d < 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
      return d < 2 ? (((d - 5) * d + 8) * d - 4) * a : 0;
    },
  };

  /** Return a row of `count` numbers from one of another length, as Pillow resizes it. */
  const resizedBy = ({ support, weight }) => (row, count) => {
    const scale = row.length / count;
    const wide = Math.max(scale, 1);
    return Float64Array.from({ length: count }, (_, index) => {
      const centre = (index + 0.5) * scale;
      const first = Math.max(0, Math.floor(centre - support * wide + 0.5));
      const last = Math.min(row.length, Math.floor(centre + support * wide + 0.5));
      let [sum, weights] = [0, 0];
      for (let place = first; place < last; place++) {
        const share = weight((place - centre + 0.5) / wide);
        [sum, weights] = [sum + share * row[place], weights + share];
      }
      return sum / weights;
    });
  };

  /** Return a row of `count` numbers from one of another length, as OpenCV resizes it: by areas, or by cubic curves. */
  function fineRow(row, count) {
    const scale = row.length / count;
    return Float64Array.from({ length: count }, (_, index) => {
      let sum = 0;
      if (scale > 1) {
        const [begin, end] = [index * scale, Math.min((index + 1) * scale, row.length)];
        for (let place = Math.floor(begin); place < end; place++) {
          sum += row[place] * (Math.min(place + 1, end) - Math.max(place, begin));
        }
        return sum / (end - begin);
      }
      const centre = (index + 0.5) * scale - 0.5;
      const [first, a] = [Math.floor(centre), -0.75];
      for (let place = first - 1; place < first + 3; place++) {
        const d = Math.abs(centre - place);
        const weight = d <= 1 ? ((a + 2) * d - (a + 3)) * d * d + 1 : ((a * d - 5 * a) * d + 8 * a) * d - 4 * a;
        sum += weight * row[Math.min(Math.max(place, 0), row.length - 1)];
      }
      return sum;
    });
  }

  function mapped({ width, height, at }, toWidth, toHeight, resize) {
    const rows = Array.from({ length: height }, (_, y) => resize(at.subarray(y * width, (y + 1) * width), toWidth));
    const found = grid(toWidth, toHeight);
    for (let x = 0; x < toWidth; x++) {
      resize(Float64Array.from(rows, (row) => row[x]), toHeight).forEach((value, y) => {
        found.at[y * toWidth + x] = value;
      });
    }
    return found;
  }

  function padded(inner, margin) {
    const found = grid(inner.width + 2 * margin, inner.height + 2 * margin);
    for (let y = 0; y < inner.height; y++) {
      const row = inner.at.subarray(y * inner.width, (y + 1) * inner.width);
      found.at.set(row, (y + margin) * found.width + margin);
    }
    return found;
  }

  /** Replace squares of distances along one line by those over the line too. */
  function nearest(line) {
    return line.map((_, at) => {
      let best = Infinity;
      for (let d = 0; d * d < best && d < line.length; d++) {
        best = Math.min(best, d * d + Math.min(line[at - d] ?? Infinity, line[at + d] ?? Infinity));
      }
      return best;
    });
  }

  /** Return half the width of the strokes, a value for each pixel along their middle. */
  function ridgeDistances({ width, height, at }) {
    const squares = mapped(grid(width, height, at.map((one) => (one > 0.5 ? 1e9 : 0))), width, height, nearest);
    const distance = squares.at.map(Math.sqrt);
    const found = [];
    for (let y = 1; y < height - 1; y++) {
      for (let x = 1; x < width - 1; x++) {
        const place = y * width + x;
        if (!distance[place]) continue;
        const near = (dx, dy) => distance[place + dy * width + dx];
        const across = near(1, -1) + 2 * near(1, 0) + near(1, 1) - near(-1, -1) - 2 * near(-1, 0) - near(-1, 1);
        const down = near(-1, 1) + 2 * near(0, 1) + near(1, 1) - near(-1, -1) - 2 * near(0, -1) - near(1, -1);
        if (Math.hypot(across, down) / 8 < 0.6) found.push(distance[place]);
      }
    }
    return found;
  }

  /** Return the grid with each value replaced by the smallest or largest in the disc around it. */
  function morphed({ width, height, at }, radius, isFiner) {
    const found = grid(width, height);
    const [none, choose] = isFiner ? [Infinity, Math.min] : [-Infinity, Math.max];
    const spans = Array.from({ length: 2 * radius + 1 }, (_, row) => {
      const dy = row - radius;
      return [dy, radius ? rounded(radius * Math.sqrt((radius * radius - dy * dy) / (radius * radius))) : 0];
    });
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        let value = none;
        for (const [dy, reach] of spans) {
          if (y + dy < 0 || y + dy >= height) continue;
          const last = Math.min(width - 1, x + reach);
          for (let u = Math.max(0, x - reach); u <= last; u++) value = choose(value, at[(y + dy) * width + u]);
        }
        found.at[y * width + x] = value;
      }
    }
    return found;
  }

  /** Return the digit with broader or finer strokes if its own are finer or broader than MNIST's. */
  function withUsualStrokes(digit) {
    const [unit, scale] = [FINE_SIDE / BOX_SIDE, FINE_SIDE / Math.max(digit.width, digit.height)];
    const [width, height] = [digit.width, digit.height].map((side) => Math.max(1, rounded(side * scale)));
    const large = padded(mapped(digit, width, height, fineRow), FINE_SIDE / 8);
    const halves = ridgeDistances(large);
    const thickness = halves.length ? (2 * median(halves)) / unit : USUAL_STROKES[0];
    const isUsual = USUAL_STROKES[0] <= thickness && thickness <= USUAL_STROKES[1];
    if (isUsual || thickness > BOX_SIDE / 2) return digit;
    const isFiner = thickness >= BROADENED;
    const wanted = isFiner ? Math.max(FINED, thickness / 2) : BROADENED;
    const radius = rounded((Math.abs(thickness - wanted) / 2 / (1 - wanted / BOX_SIDE)) * unit);
    const changed = morphed(large, radius, isFiner);
    const strong = grid(changed.width, changed.height, changed.at.map((one) => (one > MIN_INK ? 1 : 0)));
    return cut(changed, ...boundingBox(strong));
  }

  const rounded = (value) => (value % 1 === 0.5 ? 2 * Math.round(value / 2) : Math.round(value)); // half to even

  function scaledToBox(digit, size) {
    const scale = size / Math.max(digit.width, digit.height);
    const [width, height] = [digit.width, digit.height].map((side) => Math.max(1, rounded(side * scale)));
    const found = mapped(digit, width, height, resizedBy(scale < 1 ? box : cubic));
    const highest = found.at.reduce((one, other) => Math.max(one, other));
    found.at = found.at.map((value) => rounded(Math.min(Math.max(value / highest, 0), 1) * 255));
    return found;
  }

  function centred(digit, side) {
    let [sum, x, y] = [0, 0, 0];
    digit.at.forEach((value, index) => {
      sum += value;
      x += value * ((index % digit.width) + 0.5);
      y += value * (Math.floor(index / digit.width) + 0.5);
    });
    const half = Math.floor(side / 2);
    const start = (centre, length) => Math.min(Math.max(half - Math.floor(centre), 0), side - length);
    const [left, top] = [start(x / sum, digit.width), start(y / sum, digit.height)];
    const image = new Uint8Array(side * side);
    digit.at.forEach((value, index) => {
      image[(top + Math.floor(index / digit.width)) * side + left + (index % digit.width)] = value;
    });
    return image;
  }

  /** Return the digit of a drawing, grey levels in rows, as a network takes it: side × side levels from 0 to 255. */
  function prepare(levels, width, height, side = 28) {
    const size = Math.max(1, rounded((side * BOX_SIDE) / 28));
    return centred(scaledToBox(withUsualStrokes(cropToDigit(grid(width, height, Float64Array.from(levels)))), size), side);
  }

  async function levelsOf(content) {
    const picture = await createImageBitmap(content);
    const scale = Math.min(1, 560 / Math.max(picture.width, picture.height));
    const canvas = document.createElement("canvas");
    canvas.width = Math.max(1, Math.round(picture.width * scale));
    canvas.height = Math.max(1, Math.round(picture.height * scale));
    const context = canvas.getContext("2d");
    context.fillStyle = "#ffffff";
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.drawImage(picture, 0, 0, canvas.width, canvas.height);
    const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
    const levels = Float64Array.from({ length: data.length / 4 }, (_, index) => {
      const [red, green, blue] = data.subarray(4 * index, 4 * index + 3);
      return Math.round(0.299 * red + 0.587 * green + 0.114 * blue);
    });
    return [levels, canvas.width, canvas.height];
  }

  function backend(model, selected) {
    const [side] = model.inputShape.length > 1 ? model.inputShape : [Math.sqrt(model.inputShape[0])];
    return {
      canExplain: false,
      async models() {
        return { models: [{ name: model.name, classes: model.classes, selected }], collects: false };
      },
      async predict(name, content) {
        let image;
        try {
          image = prepare(...(await levelsOf(content)), side);
        } catch (error) {
          if (error instanceof NoDigit) return { model: name, images: [{ error: error.message }] };
          throw error;
        }
        const probabilities = Array.from(model.predict(image));
        const most = [...selected].sort((one, other) => probabilities[other] - probabilities[one])[0];
        const rows = Array.from({ length: side }, (_, y) => Array.from(image.subarray(y * side, (y + 1) * side)));
        const found = { digit: most, name: model.classes[most], probability: probabilities[most] };
        return { model: name, images: [{ ...found, probabilities, pixels: rows }] };
      },
    };
  }

  return { prepare, backend };
})();
if (typeof module !== "undefined") module.exports = dnnLocal;
