"use strict";

// The slice on its canvas.

// A pixel: red, green, blue and opacity from its lowest byte to its highest.
const pixel = (red, green, blue, opacity) => ((opacity << 24) | (blue << 16) | (green << 8) | red) >>> 0;

// The pixel of every number; 0 stands for what is no number.
const greys = new Uint32Array(65536);
function setWindow(low, high) {
  state.window = [low, high];
  const { offset, step } = facts.value;
  for (let i = 0; i < greys.length; i++) {
    const share = i === 0 ? 0 : (offset + step * i - low) / (high - low);
    const grey = Math.round(255 * Math.max(0, Math.min(1, share)));
    greys[i] = pixel(grey, grey, grey, 255);
  }
  const [level, span] = [(low + high) / 2, high - low];
  for (const [id, value] of [["level", level], ["width", span]]) {
    element(id).value = value;
    element(`${id}-number`).value = Number(value.toPrecision(4));
  }
  draw();
}

const isShown = (id) => element(id)?.checked ?? false;
let isAsked = false;
function draw() {
  if (isAsked) return;
  isAsked = true;
  requestAnimationFrame(() => {
    isAsked = false;
    drawNow();
  });
}

function drawNow() {
  const [columns, rows] = size();
  const [toRight, down] = plane().axes.map((axis) => facts.spacing[axis]);
  const [wide, high] = [columns * toRight, rows * down];
  const stage = canvas.parentElement.getBoundingClientRect();
  const room = [stage.width, Math.max(240, innerHeight * 0.74)];
  const scale = Math.min(room[0] / wide, room[1] / high);
  canvas.style.width = `${wide * scale}px`;
  canvas.width = Math.max(1, Math.round(wide * scale * devicePixelRatio));
  canvas.height = Math.max(1, Math.round(high * scale * devicePixelRatio));
  const context = canvas.getContext("2d");
  const [left, top] = corner();
  context.setTransform(state.zoom, 0, 0, state.zoom, -left * state.zoom * canvas.width, -top * state.zoom * canvas.height);

  paint(context, isShown("smooth"), maps.image, greys);
  if (isShown("show-label")) paint(context, false, maps.label, fills());
  if (isShown("show-prediction")) outline(context, slice(maps.prediction));
  if (state.isMarked) mark(context);
  context.resetTransform();
  letters(context);
  tell();
}

// The upper left of what is seen of the slice, in shares of it: the point is in the middle where it can be.
function corner() {
  const seen = 1 / state.zoom;
  return plane().axes.slice(0, 2).map((axis) => {
    const share = (facts.shape[axis] - state.at[axis] - 0.5) / facts.shape[axis];
    return Math.max(0, Math.min(1 - seen, share - seen / 2));
  });
}

// Draws the voxels of the slice over the whole canvas, each as the pixel of its number.
function paint(context, isSmooth, numbers, pixelOf) {
  const [columns, rows] = size();
  const voxels = new OffscreenCanvas(columns, rows);
  const image = new ImageData(columns, rows);
  const pixels = new Uint32Array(image.data.buffer);
  slice(numbers).forEach((number, i) => (pixels[i] = pixelOf[number]));
  voxels.getContext("2d").putImageData(image, 0, 0);
  context.imageSmoothingEnabled = isSmooth;
  context.imageSmoothingQuality = "high";
  context.drawImage(voxels, 0, 0, canvas.width, canvas.height);
}

const colours = new Map(Object.entries(facts.labels).map(([label, { colour }]) => [Number(label), colour]));

// The pixel of every label.
function fills() {
  const pixels = new Uint32Array(65536);
  const opacity = Math.round(255 * element("opacity").value);
  for (const [label, colour] of colours) {
    const parts = [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16));
    if (!state.hidden.has(label)) pixels[label] = pixel(...parts, opacity);
  }
  return pixels;
}

// A line within each label along its borders, dark beside it so that it shows on every colour.
function outline(context, labels) {
  const [columns, rows] = size();
  const [wide, high] = [canvas.width / columns, canvas.height / rows];
  const line = (1.5 * devicePixelRatio) / state.zoom;
  const paths = new Map();
  const edge = (label, x0, y0, x1, y1) => {
    if (!paths.has(label)) paths.set(label, new Path2D());
    paths.get(label).moveTo(x0, y0);
    paths.get(label).lineTo(x1, y1);
  };
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const i = row * columns + column;
      const label = labels[i];
      if (label === 0 || state.hidden.has(label)) continue;
      const [left, top] = [column * wide + line / 2, row * high + line / 2];
      const [right, bottom] = [(column + 1) * wide - line / 2, (row + 1) * high - line / 2];
      if (column > 0 && labels[i - 1] !== label) edge(label, left, top, left, bottom);
      if (column + 1 < columns && labels[i + 1] !== label) edge(label, right, top, right, bottom);
      if (row > 0 && labels[i - columns] !== label) edge(label, left, top, right, top);
      if (row + 1 < rows && labels[i + columns] !== label) edge(label, left, bottom, right, bottom);
    }
  }
  context.lineCap = "square";
  for (const [style, width] of [["rgb(0 0 0 / 0.45)", 2.3 * line], [null, line]]) {
    for (const [label, path] of paths) {
      context.strokeStyle = style ?? colours.get(label);
      context.lineWidth = width;
      context.stroke(path);
    }
  }
}

function letters(context) {
  const [wide, high] = [canvas.width, canvas.height];
  const inset = 12 * devicePixelRatio;
  const places = [[inset, high / 2], [wide - inset, high / 2], [wide / 2, inset], [wide / 2, high - inset]];
  context.font = `600 ${14 * devicePixelRatio}px system-ui, sans-serif`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.lineWidth = 3 * devicePixelRatio;
  context.strokeStyle = "black";
  context.fillStyle = "white";
  plane().letters.forEach((letter, i) => {
    context.strokeText(letter, ...places[i]);
    context.fillText(letter, ...places[i]);
  });
}

// The point that the other planes go through.
function mark(context) {
  const [columns, rows] = size();
  const [along, up] = plane().axes;
  const x = ((facts.shape[along] - state.at[along] - 0.5) / columns) * canvas.width;
  const y = ((facts.shape[up] - state.at[up] - 0.5) / rows) * canvas.height;
  const dot = devicePixelRatio / state.zoom;
  const [near, far] = [5 * dot, 14 * dot];
  const cross = new Path2D();
  for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
    cross.moveTo(x + near * dx, y + near * dy);
    cross.lineTo(x + far * dx, y + far * dy);
  }
  for (const [style, line] of [["black", 4], ["white", 1.5]]) {
    context.strokeStyle = style;
    context.lineWidth = line * dot;
    context.stroke(cross);
  }
}
