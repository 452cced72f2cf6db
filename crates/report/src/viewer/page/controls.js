"use strict";

// Mouse, keyboard and form controls.

async function start() {
  try {
    for (const name of ["image", "label", "prediction"]) voxels[name] = await decode(name);
  } catch (error) {
    element("status").textContent = `This browser cannot decode the volume: ${error.message}`;
    return;
  }
  element("status").remove();
  addListeners();
  state.index = initialIndex();
  selectPlane(0);
  setWindow(...info.window);
  document.body.dataset.ready = "true";
}

// The slice of each plane with the most labels, or the middle one.
function initialIndex() {
  const index = [];
  for (const { axes, largest } of info.planes) index[axes[2]] = largest;
  return index;
}

function selectPlane(number) {
  state.plane = number;
  document.querySelector(`#planes [value="${number}"]`).checked = true;
  element("slice-index").max = info.shape[sliceAxis()] - 1;
  selectSlice(state.index[sliceAxis()]);
}

function selectSlice(slice) {
  const axis = sliceAxis();
  state.index[axis] = Math.max(0, Math.min(info.shape[axis] - 1, slice));
  element("slice-index").value = state.index[axis];
  if (state.hovered) state.hovered[axis] = state.index[axis];
  draw();
}

function setZoom(zoom) {
  state.zoom = Math.max(1, Math.min(8, zoom));
  element("zoom").value = state.zoom;
  draw();
}

function addListeners() {
  element("zoom").addEventListener("input", (event) => setZoom(Number(event.target.value)));
  element("slice-index").addEventListener("input", (event) => selectSlice(Number(event.target.value)));
  element("planes").addEventListener("change", (event) => selectPlane(Number(event.target.value)));
  // After a mouse click the arrow keys change the slice; after a key press they still change the plane.
  element("planes").addEventListener("click", (event) => event.detail > 0 && canvas.focus({ preventScroll: true }));
  for (const id of ["show-label", "show-prediction", "show-differences", "opacity", "smooth"]) element(id)?.addEventListener("input", draw);
  element("show-largest")?.addEventListener("click", () => selectSlice(plane().largest));
  element("show-disagreement")?.addEventListener("click", () => selectSlice(plane().disagreement));
  element("labels")?.addEventListener("click", ({ target }) => {
    if (target.dataset.show) selectSlice(plane().labels[target.dataset.show] ?? state.index[sliceAxis()]);
  });
  element("labels")?.addEventListener("change", ({ target }) => {
    state.hiddenLabels[target.checked ? "delete" : "add"](Number(target.dataset.label));
    draw();
  });
  element("theme").addEventListener("click", () => {
    const root = document.documentElement;
    const scheme = root.style.colorScheme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
    root.style.colorScheme = scheme === "dark" ? "light" : "dark";
  });
  addEventListener("resize", draw);
  addEventListener("keydown", handleKey);
  addWindowListeners();
  addPointerListeners();
}

function addWindowListeners() {
  const [low, high] = info.range;
  const span = Math.max(high - low, info.window[1] - info.window[0]) || 1;
  const [min, max] = [Math.min(low, info.window[0]), Math.max(high, info.window[1])];
  Object.assign(element("level"), { min, max });
  Object.assign(element("width"), { min: span / 1000, max: span });
  for (const suffix of ["", "-number"]) {
    const update = () => {
      const [level, width] = ["level", "width"].map((id) => Number(element(id + suffix).value));
      if (width > 0) setWindow(level - width / 2, level + width / 2);
    };
    for (const id of ["level", "width"]) element(id + suffix).addEventListener(suffix ? "change" : "input", update);
  }
  element("presets").addEventListener("click", ({ target: { dataset } }) => {
    if (dataset.low) setWindow(Number(dataset.low), Number(dataset.high));
  });
}

// Hovering updates the readout, clicking selects a point, dragging changes the window, and the wheel changes the slice.
function addPointerListeners() {
  const voxelUnder = (event) => {
    const box = canvas.getBoundingClientRect();
    const inBox = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    const fraction = visibleCorner().map((corner, i) => corner + inBox[i] / state.zoom);
    const [column, row] = size().map((count, i) => Math.max(0, Math.min(count - 1, Math.floor(fraction[i] * count))));
    return voxelAt(column, row);
  };
  let drag = null;
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    drag = { x: event.clientX, y: event.clientY, window: state.window, hasMoved: false };
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    state.hovered = voxelUnder(event);
    updateReadout();
    if (!drag) return;
    const [x, y] = [event.clientX - drag.x, event.clientY - drag.y];
    if (Math.hypot(x, y) > 3) drag.hasMoved = true;
    if (!drag.hasMoved) return;
    const span = drag.window[1] - drag.window[0];
    const level = (drag.window[0] + drag.window[1]) / 2 - (y / 300) * span;
    const width = Math.max(span * Math.exp(x / 200), span / 1000);
    setWindow(level - width / 2, level + width / 2);
  });
  canvas.addEventListener("pointerup", (event) => {
    if (drag && !drag.hasMoved) {
      state.index = voxelUnder(event);
      state.hasCrosshair = true;
      draw();
    }
    drag = null;
  });
  canvas.addEventListener("pointercancel", () => (drag = null));
  canvas.addEventListener("pointerleave", () => {
    state.hovered = null;
    updateReadout();
  });
  // A touchpad sends many small wheel events, which are summed until they make a whole slice.
  let scrolled = 0;
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    if (event.ctrlKey) return setZoom(state.zoom * (event.deltaY < 0 ? 1.2 : 1 / 1.2));
    scrolled += event.deltaMode === WheelEvent.DOM_DELTA_PIXEL ? event.deltaY / 50 : event.deltaY;
    const steps = Math.trunc(scrolled);
    scrolled -= steps;
    if (steps !== 0) selectSlice(state.index[sliceAxis()] - Math.sign(steps) * Math.min(Math.abs(steps), 3));
  }, { passive: false });
}

function handleKey(event) {
  if (event.ctrlKey || event.altKey || event.metaKey || event.target.matches("[type=number]")) return;
  // Sliders and radio buttons handle arrow keys themselves.
  if (event.key.length > 1 && event.target.matches("[type=range], [type=radio]")) return;
  const slice = state.index[sliceAxis()];
  const toggle = (id) => () => element(id)?.click();
  const actions = {
    ArrowUp: () => selectSlice(slice + 1),
    ArrowRight: () => selectSlice(slice + 1),
    ArrowDown: () => selectSlice(slice - 1),
    ArrowLeft: () => selectSlice(slice - 1),
    PageUp: () => selectSlice(slice + 10),
    PageDown: () => selectSlice(slice - 10),
    Home: () => selectSlice(0),
    End: () => selectSlice(Infinity),
    1: () => selectPlane(0),
    2: () => selectPlane(1),
    3: () => selectPlane(2),
    "+": () => setZoom(state.zoom * 1.5),
    "-": () => setZoom(state.zoom / 1.5),
    l: toggle("show-label"),
    p: toggle("show-prediction"),
    d: toggle("show-differences"),
    r: reset,
  };
  const action = actions[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!action) return;
  event.preventDefault();
  action();
}

function reset() {
  state.index = initialIndex();
  state.hasCrosshair = false;
  setZoom(1);
  setWindow(...info.window);
  selectSlice(state.index[sliceAxis()]);
}

start();
