"use strict";

const facts = JSON.parse(document.getElementById("facts").textContent);
const element = (id) => document.getElementById(id);
const canvas = element("slice");
const maps = {};
const [width, height, depth] = facts.shape;

// What is shown. `at` counts voxels to the right, to the front and to the head.
const state = {
  plane: 0,
  at: facts.shape.map((size) => size >> 1),
  window: [...facts.window],
  hidden: new Set(),
  isMarked: false,
  zoom: 1,
};
const plane = () => facts.planes[state.plane];
const through = () => plane().axes[2];

start();

async function start() {
  try {
    for (const name of ["image", "label", "prediction"]) {
      if (element(name)) maps[name] = await unpack(element(name));
    }
  } catch (error) {
    element("status").textContent = `This browser cannot read the volume: ${error.message}`;
    return;
  }
  element("status").remove();
  listen();
  state.at = firstPoint();
  choosePlane(0);
  setWindow(...facts.window);
  document.body.dataset.ready = "true";
}

// Base64, gzip, then differences of neighbours whose low bytes stand before their high bytes.
async function unpack(script) {
  const text = atob(script.textContent);
  script.remove();
  const packed = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) packed[i] = text.charCodeAt(i);
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  const count = width * height * depth;
  const numbers = new Uint16Array(count);
  for (let i = 0, number = 0; i < count; i++) {
    const zigzag = bytes[i] | (bytes[count + i] << 8);
    number += (zigzag >>> 1) ^ -(zigzag & 1);
    numbers[i] = number;
  }
  return numbers;
}

// The fullest slice of each plane, or the middle.
function firstPoint() {
  const at = [];
  for (const { axes, fullest } of facts.planes) at[axes[2]] = fullest;
  return at;
}

// Columns and rows run to the left, the back and the feet: the radiological convention.
function size() {
  const [columns, rows] = plane().axes.map((axis) => facts.shape[axis]);
  return [columns, rows];
}

function voxelAt(column, row) {
  const at = [...state.at];
  const [along, up] = plane().axes;
  at[along] = facts.shape[along] - 1 - column;
  at[up] = facts.shape[up] - 1 - row;
  return at;
}

const place = ([x, y, z]) => x + width * (y + height * z);

// The numbers of the slice, row by row.
function slice(numbers) {
  const [columns, rows] = size();
  const first = place(voxelAt(0, 0));
  const toRight = columns > 1 ? place(voxelAt(1, 0)) - first : 0;
  const down = rows > 1 ? place(voxelAt(0, 1)) - first : 0;
  const taken = new Uint16Array(columns * rows);
  for (let row = 0, i = 0; row < rows; row++) {
    for (let column = 0, from = first + row * down; column < columns; column++, from += toRight) taken[i++] = numbers[from];
  }
  return taken;
}

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

// Where the slice lies, and what is under the pointer or, without one, at the point.
let pointed = null;
const world = (at) => facts.affine.map((row) => row[0] * at[0] + row[1] * at[1] + row[2] * at[2] + row[3]);
function tell() {
  const axis = through();
  const middle = facts.shape.map((size) => (size - 1) / 2);
  middle[axis] = state.at[axis];
  const millimetres = world(middle)[axis].toFixed(1);
  const where = `${state.at[axis] + 1} of ${facts.shape[axis]} · ${"xyz"[axis]} ${millimetres} mm`;
  element("where").textContent = where;
  element("index").setAttribute("aria-valuetext", where);
  canvas.setAttribute("aria-label", `${plane().name} slice ${where}`);

  const at = pointed ?? state.at;
  const { axes, flipped, factors, shape } = facts.file;
  const stored = [];
  axes.forEach((source, i) => {
    const index = Math.min(at[i] * factors[i] + (factors[i] >> 1), shape[source] - 1);
    stored[source] = flipped[i] ? shape[source] - 1 - index : index;
  });
  const number = maps.image[place(at)];
  const value = facts.value.offset + facts.value.step * number;
  const name = (map) => facts.labels[maps[map][place(at)]]?.name ?? "–";
  element("voxel").textContent = stored.join(", ");
  element("world").textContent = world(at).map((mm) => mm.toFixed(1)).join(", ");
  element("value").textContent = number === 0 ? "not a number" : Number(value.toPrecision(5));
  if (maps.label) element("its-label").textContent = name("label");
  if (maps.prediction) element("its-prediction").textContent = name("prediction");
}

function choosePlane(number) {
  state.plane = number;
  document.querySelector(`#planes [value="${number}"]`).checked = true;
  element("index").max = facts.shape[through()] - 1;
  goTo(state.at[through()]);
}

function goTo(index) {
  const axis = through();
  state.at[axis] = Math.max(0, Math.min(facts.shape[axis] - 1, index));
  element("index").value = state.at[axis];
  if (pointed) pointed[axis] = state.at[axis];
  draw();
}

function setZoom(zoom) {
  state.zoom = Math.max(1, Math.min(8, zoom));
  element("zoom").value = state.zoom;
  draw();
}

function listen() {
  element("zoom").addEventListener("input", (event) => setZoom(Number(event.target.value)));
  element("index").addEventListener("input", (event) => goTo(Number(event.target.value)));
  element("planes").addEventListener("change", (event) => choosePlane(Number(event.target.value)));
  // After a click the arrow keys go through the slices; the keyboard stays among the planes.
  element("planes").addEventListener("click", (event) => event.detail > 0 && canvas.focus({ preventScroll: true }));
  for (const id of ["show-label", "show-prediction", "opacity", "smooth"]) element(id)?.addEventListener("input", draw);
  element("go-largest")?.addEventListener("click", () => goTo(plane().fullest));
  element("go-differing")?.addEventListener("click", () => goTo(plane().differing));
  element("labels")?.addEventListener("click", ({ target }) => {
    if (target.dataset.go) goTo(plane().labels[target.dataset.go] ?? state.at[through()]);
  });
  element("labels")?.addEventListener("change", ({ target }) => {
    state.hidden[target.checked ? "delete" : "add"](Number(target.dataset.label));
    draw();
  });
  element("theme").addEventListener("click", () => {
    const root = document.documentElement;
    const chosen = root.style.colorScheme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
    root.style.colorScheme = chosen === "dark" ? "light" : "dark";
  });
  new ResizeObserver(draw).observe(canvas.parentElement);
  addEventListener("keydown", press);
  listenToWindow();
  listenToPointer();
}

function listenToWindow() {
  const [low, high] = facts.range;
  const span = Math.max(high - low, facts.window[1] - facts.window[0]) || 1;
  const [least, most] = [Math.min(low, facts.window[0]), Math.max(high, facts.window[1])];
  Object.assign(element("level"), { min: least, max: most });
  Object.assign(element("width"), { min: span / 1000, max: span });
  for (const end of ["", "-number"]) {
    const read = () => {
      const [level, width] = ["level", "width"].map((id) => Number(element(id + end).value));
      if (width > 0) setWindow(level - width / 2, level + width / 2);
    };
    for (const id of ["level", "width"]) element(id + end).addEventListener(end ? "change" : "input", read);
  }
  element("presets").addEventListener("click", ({ target: { dataset } }) => {
    if (dataset.low) setWindow(Number(dataset.low), Number(dataset.high));
  });
}

// Pointing reads, a click sets the point, dragging sets the window, the wheel goes through the slices.
function listenToPointer() {
  const under = (event) => {
    const box = canvas.getBoundingClientRect();
    const inBox = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    const share = corner().map((start, i) => start + inBox[i] / state.zoom);
    const [column, row] = size().map((count, i) => Math.max(0, Math.min(count - 1, Math.floor(share[i] * count))));
    return voxelAt(column, row);
  };
  let from = null;
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    from = { x: event.clientX, y: event.clientY, window: state.window, hasMoved: false };
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    pointed = under(event);
    tell();
    if (!from) return;
    const [x, y] = [event.clientX - from.x, event.clientY - from.y];
    if (Math.hypot(x, y) > 3) from.hasMoved = true;
    if (!from.hasMoved) return;
    const span = from.window[1] - from.window[0];
    const level = (from.window[0] + from.window[1]) / 2 - (y / 300) * span;
    const wide = Math.max(span * Math.exp(x / 200), span / 1000);
    setWindow(level - wide / 2, level + wide / 2);
  });
  canvas.addEventListener("pointerup", (event) => {
    if (from && !from.hasMoved) {
      state.at = under(event);
      state.isMarked = true;
      draw();
    }
    from = null;
  });
  canvas.addEventListener("pointercancel", () => (from = null));
  canvas.addEventListener("pointerleave", () => {
    pointed = null;
    tell();
  });
  // A touch pad sends many small turns; they add up to slices.
  let turned = 0;
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    if (event.ctrlKey) return setZoom(state.zoom * (event.deltaY < 0 ? 1.2 : 1 / 1.2));
    turned += event.deltaMode === WheelEvent.DOM_DELTA_PIXEL ? event.deltaY / 50 : event.deltaY;
    const steps = Math.trunc(turned);
    turned -= steps;
    if (steps !== 0) goTo(state.at[through()] - Math.sign(steps) * Math.min(Math.abs(steps), 3));
  }, { passive: false });
}

function press(event) {
  if (event.ctrlKey || event.altKey || event.metaKey || event.target.matches("[type=number]")) return;
  // Sliders and choices have arrows of their own.
  if (event.key.length > 1 && event.target.matches("[type=range], [type=radio]")) return;
  const index = state.at[through()];
  const toggle = (id) => () => element(id)?.click();
  const keys = {
    ArrowUp: () => goTo(index + 1),
    ArrowRight: () => goTo(index + 1),
    ArrowDown: () => goTo(index - 1),
    ArrowLeft: () => goTo(index - 1),
    PageUp: () => goTo(index + 10),
    PageDown: () => goTo(index - 10),
    Home: () => goTo(0),
    End: () => goTo(Infinity),
    1: () => choosePlane(0),
    2: () => choosePlane(1),
    3: () => choosePlane(2),
    "+": () => setZoom(state.zoom * 1.5),
    "-": () => setZoom(state.zoom / 1.5),
    l: toggle("show-label"),
    p: toggle("show-prediction"),
    r: restart,
  };
  const action = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!action) return;
  event.preventDefault();
  action();
}

function restart() {
  state.at = firstPoint();
  state.isMarked = false;
  setZoom(1);
  setWindow(...facts.window);
  goTo(state.at[through()]);
}
