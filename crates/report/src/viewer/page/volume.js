"use strict";

// The volume, the state of the view, and the geometry of slices.

const info = JSON.parse(document.getElementById("volume-info").textContent);
const element = (id) => document.getElementById(id);
const canvas = element("slice");
// The codes of the voxels, by array: image, label, prediction.
const voxels = {};
const [width, height, depth] = info.shape;

// The state of the view. Indices are along right, anterior and superior (RAS).
const state = {
  plane: 0,
  index: info.shape.map((size) => size >> 1),
  // The voxel under the pointer, or null.
  hovered: null,
  window: [...info.window],
  hiddenLabels: new Set(),
  hasCrosshair: false,
  zoom: 1,
};
const plane = () => info.planes[state.plane];
const sliceAxis = () => plane().axes[2];

// All codes of an array, which is stored in chunks; undefined if the page does not have it.
async function decode(name) {
  const chunks = document.querySelectorAll(`script[data-voxels=${name}]`);
  if (chunks.length === 0) return undefined;
  const codes = new Uint16Array(width * height * depth);
  let count = 0;
  for (const chunk of chunks) {
    count += await decodeChunk(chunk.textContent, codes.subarray(count));
    chunk.remove();
  }
  return codes;
}

// Decodes base64, gzip, and zigzag differences, whose low bytes come before their high bytes.
async function decodeChunk(base64, codes) {
  const text = atob(base64);
  const compressed = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) compressed[i] = text.charCodeAt(i);
  const stream = new Blob([compressed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  const count = bytes.length / 2;
  for (let i = 0, code = 0; i < count; i++) {
    const zigzag = bytes[i] | (bytes[count + i] << 8);
    code += (zigzag >>> 1) ^ -(zigzag & 1);
    codes[i] = code;
  }
  return count;
}

// The columns and rows of the slice.
function size() {
  const [columns, rows] = plane().axes.map((axis) => info.shape[axis]);
  return [columns, rows];
}

// The index of the voxel at a column and row. In radiological convention, columns run to the left (or posterior) and
// rows to posterior (or inferior), so both are reversed.
function voxelAt(column, row) {
  const index = [...state.index];
  const [horizontal, vertical] = plane().axes;
  index[horizontal] = info.shape[horizontal] - 1 - column;
  index[vertical] = info.shape[vertical] - 1 - row;
  return index;
}

const offset = ([x, y, z]) => x + width * (y + height * z);

// The codes of the slice, row by row.
function readSlice(codes) {
  const [columns, rows] = size();
  const first = offset(voxelAt(0, 0));
  const columnStride = columns > 1 ? offset(voxelAt(1, 0)) - first : 0;
  const rowStride = rows > 1 ? offset(voxelAt(0, 1)) - first : 0;
  const slice = new Uint16Array(columns * rows);
  for (let row = 0, i = 0; row < rows; row++) {
    for (let column = 0, from = first + row * rowStride; column < columns; column++, from += columnStride) slice[i++] = codes[from];
  }
  return slice;
}

// World coordinates in mm (RAS).
const world = (index) => info.affine.map((row) => row[0] * index[0] + row[1] * index[1] + row[2] * index[2] + row[3]);
