"use strict";

// The volume and what is shown of it.

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

// All voxels of an array, which stands in parts; nothing where the page has none.
async function unpack(name) {
  const parts = document.querySelectorAll(`script[data-voxels=${name}]`);
  if (parts.length === 0) return undefined;
  const numbers = new Uint16Array(width * height * depth);
  let count = 0;
  for (const part of parts) {
    count += await unpackPart(part.textContent, numbers.subarray(count));
    part.remove();
  }
  return numbers;
}

// Base64, gzip, then differences of neighbours whose low bytes stand before their high bytes.
async function unpackPart(base64, numbers) {
  const text = atob(base64);
  const packed = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) packed[i] = text.charCodeAt(i);
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  const count = bytes.length / 2;
  for (let i = 0, number = 0; i < count; i++) {
    const zigzag = bytes[i] | (bytes[count + i] << 8);
    number += (zigzag >>> 1) ^ -(zigzag & 1);
    numbers[i] = number;
  }
  return count;
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

// Millimetres to the right, to the front and to the head.
const world = (at) => facts.affine.map((row) => row[0] * at[0] + row[1] * at[1] + row[2] * at[2] + row[3]);
