"use strict";

// Drawing of the slice on its canvas.

// An RGBA pixel, with red in the lowest byte.
const pixel = (red, green, blue, opacity) => ((opacity << 24) | (blue << 16) | (green << 8) | red) >>> 0;

// The pixel of every code; code 0 is NaN.
const greys = new Uint32Array(65536);
function setWindow(low, high) {
  state.window = [low, high];
  const { offset, step } = info.quantization;
  for (let i = 0; i < greys.length; i++) {
    const fraction = i === 0 ? 0 : (offset + step * i - low) / (high - low);
    const grey = Math.round(255 * Math.max(0, Math.min(1, fraction)));
    greys[i] = pixel(grey, grey, grey, 255);
  }
  const [level, span] = [(low + high) / 2, high - low];
  for (const [id, value] of [["level", level], ["width", span]]) {
    element(id).value = value;
    element(`${id}-number`).value = Number(value.toPrecision(4));
  }
  draw();
}

const isChecked = (id) => element(id)?.checked ?? false;
let isScheduled = false;
// Draws once before the next frame, however often it is called.
function draw() {
  if (isScheduled) return;
  isScheduled = true;
  requestAnimationFrame(() => {
    isScheduled = false;
    drawNow();
  });
}

function drawNow() {
  const [columns, rows] = size();
  const [columnSpacing, rowSpacing] = plane().axes.map((axis) => info.spacing[axis]);
  const extent = [columns * columnSpacing, rows * rowSpacing];
  const stage = canvas.parentElement.getBoundingClientRect();
  const available = [stage.width, Math.max(240, innerHeight * 0.74)];
  const scale = Math.min(available[0] / extent[0], available[1] / extent[1]);
  canvas.style.width = `${extent[0] * scale}px`;
  canvas.width = Math.max(1, Math.round(extent[0] * scale * devicePixelRatio));
  canvas.height = Math.max(1, Math.round(extent[1] * scale * devicePixelRatio));
  const context = canvas.getContext("2d");
  const [left, top] = visibleCorner();
  context.setTransform(state.zoom, 0, 0, state.zoom, -left * state.zoom * canvas.width, -top * state.zoom * canvas.height);

  drawVoxels(context, isChecked("smooth"), readSlice(voxels.image), greys);
  if (isChecked("show-differences")) {
    drawVoxels(context, false, readAgreement(), agreementPixels);
  } else {
    if (isChecked("show-label")) drawVoxels(context, false, readSlice(voxels.label), labelPixels());
    if (isChecked("show-prediction")) drawOutlines(context, readSlice(voxels.prediction));
  }
  if (state.hasCrosshair) drawCrosshair(context);
  context.resetTransform();
  drawDirections(context);
  updateReadout();
}

// The upper left corner of the visible part of the slice, as fractions of its size. The selected point is in the centre
// unless it is near the border.
function visibleCorner() {
  const visible = 1 / state.zoom;
  return plane().axes.slice(0, 2).map((axis) => {
    const fraction = (info.shape[axis] - state.index[axis] - 0.5) / info.shape[axis];
    return Math.max(0, Math.min(1 - visible, fraction - visible / 2));
  });
}

// Draws the codes of a slice over the whole canvas, each voxel as the pixel of its code.
function drawVoxels(context, isSmooth, codes, pixelOf) {
  const [columns, rows] = size();
  const buffer = new OffscreenCanvas(columns, rows);
  const image = new ImageData(columns, rows);
  const pixels = new Uint32Array(image.data.buffer);
  codes.forEach((code, i) => (pixels[i] = pixelOf[code]));
  buffer.getContext("2d").putImageData(image, 0, 0);
  context.imageSmoothingEnabled = isSmooth;
  context.imageSmoothingQuality = "high";
  context.drawImage(buffer, 0, 0, canvas.width, canvas.height);
}

const colours = new Map(Object.entries(info.labels).map(([label, { colour }]) => [Number(label), colour]));
const outlines = new Map(Object.entries(info.labels).map(([label, { outline }]) => [Number(label), outline]));

// The pixel of every label.
function labelPixels() {
  const pixels = new Uint32Array(65536);
  const opacity = Math.round(255 * element("opacity").value);
  for (const [label, colour] of colours) {
    const channels = [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16));
    if (!state.hiddenLabels.has(label)) pixels[label] = pixel(...channels, opacity);
  }
  return pixels;
}

// The pixel of every agreement: that of two voxels without label, then those of `info.agreements`.
const agreementPixels = [0, ...info.agreements.map(([red, green, blue, opacity]) => pixel(red, green, blue, opacity))];

// Returns the agreement of label and prediction in the slice. Hidden labels count as background.
function readAgreement() {
  const [labels, predictions] = ["label", "prediction"].map((name) =>
    readSlice(voxels[name]).map((label) => (state.hiddenLabels.has(label) ? 0 : label)));
  return labels.map((label, i) => {
    const prediction = predictions[i];
    if (label === prediction) return label === 0 ? 0 : 1;
    return prediction === 0 ? 2 : label === 0 ? 3 : 4;
  });
}

// Draws a line along the border of each label, with dark edges that make it visible on every colour.
function drawOutlines(context, labels) {
  const [columns, rows] = size();
  const [voxelWidth, voxelHeight] = [canvas.width / columns, canvas.height / rows];
  const line = (1.5 * devicePixelRatio) / state.zoom;
  const paths = new Map();
  const addEdge = (label, x0, y0, x1, y1) => {
    if (!paths.has(label)) paths.set(label, new Path2D());
    paths.get(label).moveTo(x0, y0);
    paths.get(label).lineTo(x1, y1);
  };
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const i = row * columns + column;
      const label = labels[i];
      if (label === 0 || state.hiddenLabels.has(label)) continue;
      const [left, top] = [column * voxelWidth + line / 2, row * voxelHeight + line / 2];
      const [right, bottom] = [(column + 1) * voxelWidth - line / 2, (row + 1) * voxelHeight - line / 2];
      if (column > 0 && labels[i - 1] !== label) addEdge(label, left, top, left, bottom);
      if (column + 1 < columns && labels[i + 1] !== label) addEdge(label, right, top, right, bottom);
      if (row > 0 && labels[i - columns] !== label) addEdge(label, left, top, right, top);
      if (row + 1 < rows && labels[i + columns] !== label) addEdge(label, left, bottom, right, bottom);
    }
  }
  context.lineCap = "square";
  for (const [style, lineWidth] of [["rgb(0 0 0 / 0.45)", 2.3 * line], [null, line]]) {
    for (const [label, path] of paths) {
      context.strokeStyle = style ?? outlines.get(label);
      context.lineWidth = lineWidth;
      context.stroke(path);
    }
  }
}

// Draws the direction labels at the borders.
function drawDirections(context) {
  const { width, height } = canvas;
  const inset = 12 * devicePixelRatio;
  const positions = [[inset, height / 2], [width - inset, height / 2], [width / 2, inset], [width / 2, height - inset]];
  context.font = `600 ${14 * devicePixelRatio}px system-ui, sans-serif`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.lineWidth = 3 * devicePixelRatio;
  context.strokeStyle = "black";
  context.fillStyle = "white";
  plane().directions.forEach((direction, i) => {
    context.strokeText(direction, ...positions[i]);
    context.fillText(direction, ...positions[i]);
  });
}

// Draws a crosshair at the selected point.
function drawCrosshair(context) {
  const [columns, rows] = size();
  const [horizontal, vertical] = plane().axes;
  const x = ((info.shape[horizontal] - state.index[horizontal] - 0.5) / columns) * canvas.width;
  const y = ((info.shape[vertical] - state.index[vertical] - 0.5) / rows) * canvas.height;
  const dot = devicePixelRatio / state.zoom;
  const [inner, outer] = [5 * dot, 14 * dot];
  const cross = new Path2D();
  for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
    cross.moveTo(x + inner * dx, y + inner * dy);
    cross.lineTo(x + outer * dx, y + outer * dy);
  }
  for (const [style, line] of [["black", 4], ["white", 1.5]]) {
    context.strokeStyle = style;
    context.lineWidth = line * dot;
    context.stroke(cross);
  }
}
