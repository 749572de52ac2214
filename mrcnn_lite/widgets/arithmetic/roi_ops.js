// The JavaScript twin of mrcnn_lite/roi_ops.py: RoIPool, RoIWarp, RoIAlign, their gradient, and the exact mean.
//
// A feature map is {values, height, width}, row by row; a box [x1, y1, x2, y2] is in image pixels, `scale` is cells per
// pixel. Every op answers with its bins, row by row: {value, weights: [[cell, weight], …], …}. The value of a bin is
// the sum of weight times cell, so the weights are also its gradient. tests/widgets/ holds twin and original equal.

function onAxis(at, length) {
  // One axis: the two cells that the value at `at` is mixed of, and the share of the second; none far outside the map.
  if (!(at >= -1 && at <= length)) return null;
  const inside = Math.min(Math.max(at, 0), length - 1);
  const first = Math.floor(inside);
  return { first, second: Math.min(first + 1, length - 1), share: inside - first };
}

export function bilinear(y, x, height, width) {
  // The up to four cells that the value at (y, x) is mixed of, and their weights; none far outside the map.
  const [row, column] = [onAxis(y, height), onAxis(x, width)];
  if (!row || !column) return [];
  return [
    [row.first * width + column.first, (1 - row.share) * (1 - column.share)],
    [row.first * width + column.second, (1 - row.share) * column.share],
    [row.second * width + column.first, row.share * (1 - column.share)],
    [row.second * width + column.second, row.share * column.share],
  ];
}

export function snap(side) {
  // Rounding as in C: halves away from zero, 4.5 -> 5.
  const whole = Math.trunc(side);
  return whole + Math.sign(side) * (Math.abs(side - whole) >= 0.5 ? 1 : 0);
}

export function snapToCells(box, scale) {
  // RoIPool's first rounding: pixels -> whole cells, first to last, the last one included.
  const [x1, y1, x2, y2] = box.map((side) => snap(side * scale));
  return [x1, y1, x2 + 1, y2 + 1];
}

export function roiAlign(map, box, size, scale, { points = 2, reduce = "mean", half_pixel = true } = {}) {
  const [x1, y1, x2, y2] = box.map((side) => side * scale - (half_pixel ? 0.5 : 0)); // in cells, nothing rounded
  const least = half_pixel ? 0 : 1;
  const [binWidth, binHeight] = [Math.max(x2 - x1, least) / size, Math.max(y2 - y1, least) / size];
  const [across, down] = [points || Math.ceil(binWidth), points || Math.ceil(binHeight)];
  const rows = places(y1, binHeight, size, down, map.height);
  const columns = places(x1, binWidth, size, across, map.width);
  const bins = [];
  for (let i = 0; i < size; i++) {
    for (let j = 0; j < size; j++) {
      const rectangle = [x1 + j * binWidth, y1 + i * binHeight, x1 + (j + 1) * binWidth, y1 + (i + 1) * binHeight];
      bins.push(new Bin(map, rows[i], columns[j], reduce, rectangle));
    }
  }
  return bins;
}

function places(start, bin, size, points, length) {
  // Where along one axis the points of each bin lie: computed once, although every row of points has the same ones.
  return Array.from({ length: size }, (_, k) => Array.from({ length: points }, (_, p) => {
    const at = start + k * bin + ((p + 0.5) * bin) / points;
    return { at, mixed: onAxis(at, length) };
  }));
}

// WHY classes: a drag asks for every value but for the points and weights of few bins. These are much more work, and
// garbage, whose collection holds up a frame. So they are made when they are asked for.
class Sample {
  constructor(map, row, column) {
    [this.map, this.y, this.x] = [map, row.at, column.at];
    this.value = mixture(map, row.mixed, column.mixed);
  }
  get weights() {
    return bilinear(this.y, this.x, this.map.height, this.map.width);
  }
}

class Bin {
  // Mean or maximum of the points where its rows and columns cross; equal maxima share the gradient.
  constructor(map, rows, columns, reduce, rectangle) {
    Object.assign(this, { map, rows, columns, reduce, rectangle });
    const count = rows.length * columns.length;
    let [best, total] = [-Infinity, 0];
    for (const row of rows) {
      for (const column of columns) {
        const value = mixture(map, row.mixed, column.mixed);
        best = Math.max(best, value);
        total += value;
      }
    }
    this.value = !count ? 0 : reduce === "max" ? best : total / count;
  }
  get samples() {
    return this.rows.flatMap((row) => this.columns.map((column) => new Sample(this.map, row, column)));
  }
  get weights() {
    const chosen = this.samples.filter(({ value }) => this.reduce === "mean" || value === this.value);
    const share = ([cell, weight]) => [cell, weight / chosen.length];
    return chosen.flatMap((sample) => sample.weights.map(share));
  }
}

function mixture({ values, width }, row, column) {
  // What `bilinear` says of one point, as a value.
  if (!row || !column) return 0;
  const [above, below] = [row.first * width, row.second * width];
  return (1 - row.share) * (1 - column.share) * values[above + column.first]
    + (1 - row.share) * column.share * values[above + column.second]
    + row.share * (1 - column.share) * values[below + column.first]
    + row.share * column.share * values[below + column.second];
}

export function roiWarp(map, box, size, scale, options = {}) {
  return roiAlign(map, snapToCells(box, scale), size, 1, options);
}

export function roiPool(map, box, size, scale) {
  const [x1, y1, x2, y2] = snapToCells(box, scale);
  const [binWidth, binHeight] = [(x2 - x1) / size, (y2 - y1) / size];
  const bins = [];
  for (let i = 0; i < size; i++) {
    for (let j = 0; j < size; j++) {
      // The second rounding goes outwards: neighbouring bins may share cells.
      const inside = (cell, most) => Math.min(Math.max(cell, 0), most);
      const top = inside(y1 + Math.floor(i * binHeight), map.height);
      const bottom = inside(y1 + Math.ceil((i + 1) * binHeight), map.height);
      const left = inside(x1 + Math.floor(j * binWidth), map.width);
      const right = inside(x1 + Math.ceil((j + 1) * binWidth), map.width);
      let winner = -1;
      for (let y = top; y < bottom; y++)
        for (let x = left; x < right; x++)
          if (winner < 0 || map.values[y * map.width + x] > map.values[winner]) winner = y * map.width + x;
      bins.push({ value: winner < 0 ? 0 : map.values[winner], weights: winner < 0 ? [] : [[winner, 1]],
        rectangle: [left, top, right, bottom] });
    }
  }
  return bins;
}

export const ROI_OPS = { pool: roiPool, warp: roiWarp, align: roiAlign };

export function gradient(bins, map, upstream = bins.map(() => 1)) {
  // d (sum of upstream * value) / d cell, for every cell of the map.
  const grad = new Array(map.height * map.width).fill(0);
  bins.forEach((bin, b) => bin.weights.forEach(([cell, weight]) => (grad[cell] += upstream[b] * weight)));
  return grad;
}

function axisMean(start, end, length) {
  // The mean over [start, end] of "how much cell i counts here", for each cell of one axis: exact, by the integral.
  const weights = new Array(length).fill(0);
  if (end - start < 1e-6) {
    for (const [cell, weight] of bilinear(0, start, 1, length).slice(0, 2)) weights[cell] += weight;
    return weights;
  }
  const [low, high] = [Math.max(start, -1), Math.min(end, length)]; // further out the map is 0
  if (high <= low) return weights;
  const area = (t) => (t <= -1 ? 0 : t <= 0 ? (t + 1) ** 2 / 2 : t < 1 ? 0.5 + t - t ** 2 / 2 : 1); // of a hat up to t
  const [from, to] = [Math.max(low, 0), Math.min(high, length - 1)];
  for (let cell = 0; from < to && cell < length; cell++) weights[cell] = area(to - cell) - area(from - cell);
  weights[0] += Math.max(Math.min(high, 0) - low, 0); // at the border its cell alone counts
  weights[length - 1] += Math.max(high - Math.max(low, length - 1), 0);
  return weights.map((weight) => weight / (end - start));
}

export function exactMean(map, box, size, scale) {
  // What RoIAlign approximates with a few points: the mean of the bilinear surface over each bin, half pixel right.
  const [x1, y1, x2, y2] = box.map((side) => side * scale - 0.5);
  const parts = (a, b, length) =>
    Array.from({ length: size }, (_, k) => axisMean(a + (k * (b - a)) / size, a + ((k + 1) * (b - a)) / size, length));
  const [columns, rows] = [parts(x1, x2, map.width), parts(y1, y2, map.height)];
  const along = (row, column) => { // the sum of down * across * value over the cells
    let total = 0;
    for (let i = 0; i < map.height; i++) {
      if (!row[i]) continue;
      let part = 0;
      for (let j = 0; j < map.width; j++) part += column[j] * map.values[i * map.width + j];
      total += row[i] * part;
    }
    return total;
  };
  return rows.flatMap((row) => columns.map((column) => along(row, column)));
}

export function level(box, scales, canonical_size = 224, canonical_level = 4) {
  // FPN eq. 1: which of the levels, finest first, a box belongs to.
  const k = canonical_level + Math.log2(Math.sqrt((box[2] - box[0]) * (box[3] - box[1])) / canonical_size) + 1e-6;
  const lowest = Math.round(-Math.log2(scales[0]));
  return Math.min(Math.max(Math.floor(k), lowest), lowest + scales.length - 1) - lowest;
}
