"use strict";

// Millimetres with one decimal, and zero without a sign.
const oneDecimal = (mm) => mm.toFixed(1).replace(/^-0\.0$/, "0.0");

// The position of the slice, and the voxel under the pointer or, without a pointer, at the selected point.
function updateReadout() {
  const axis = sliceAxis();
  const centre = info.shape.map((size) => (size - 1) / 2);
  centre[axis] = state.index[axis];
  const millimetres = oneDecimal(world(centre)[axis]);
  const position = `${state.index[axis] + 1} of ${info.shape[axis]} · ${"xyz"[axis]} ${millimetres} mm`;
  element("position").textContent = position;
  element("slice-index").setAttribute("aria-valuetext", position);
  canvas.setAttribute("aria-label", `${plane().name} slice ${position}`);

  const index = state.hovered ?? state.index;
  const code = voxels.image[offset(index)];
  const intensity = info.quantization.offset + info.quantization.step * code;
  const labelName = (map) => info.labels[voxels[map][offset(index)]]?.name ?? "–";
  element("voxel").textContent = fileIndex(index).join(", ");
  element("world").textContent = world(index).map(oneDecimal).join(", ");
  element("intensity").textContent = code === 0 ? "not a number" : Number(intensity.toPrecision(5));
  if (voxels.label) element("voxel-label").textContent = labelName("label");
  if (voxels.prediction) element("voxel-prediction").textContent = labelName("prediction");
}

// The index of a voxel in the file; in a downsampled volume, that of the voxel in the middle of its block.
function fileIndex(index) {
  const { axes, flipped, factors, shape } = info.file;
  const stored = [];
  axes.forEach((source, i) => {
    const position = Math.min(index[i] * factors[i] + ((factors[i] - 1) >> 1), shape[source] - 1);
    stored[source] = flipped[i] ? shape[source] - 1 - position : position;
  });
  return stored;
}
