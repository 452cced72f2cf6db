"use strict";

// What a person moves, and what the page tells about it.

async function start() {
  try {
    for (const name of ["image", "label", "prediction"]) maps[name] = await unpack(name);
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

// The fullest slice of each plane, or the middle.
function firstPoint() {
  const at = [];
  for (const { axes, fullest } of facts.planes) at[axes[2]] = fullest;
  return at;
}

// Where the slice lies, and what is under the pointer or, without one, at the point.
let pointed = null;
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
    const index = Math.min(at[i] * factors[i] + ((factors[i] - 1) >> 1), shape[source] - 1);
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
  addEventListener("resize", draw);
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

start();
