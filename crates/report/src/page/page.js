"use strict";

// Light or dark: the system's choice until the button is pressed.
document.getElementById("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const chosen = root.style.colorScheme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  root.style.colorScheme = chosen === "dark" ? "light" : "dark";
});

for (const group of document.querySelectorAll("section.group")) {
  sortable(group);
  filterable(group);
  tabs(group);
  for (const chart of group.querySelectorAll("svg.chart")) pointable(group, chart);
}

// A click on a column's name sorts by it; empty cells stay at the end.
function sortable(group) {
  const table = group.querySelector("table.runs");
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.addEventListener("click", () => {
    const isNumber = table.querySelector(`td:nth-child(${column + 1})`)?.classList.contains("number");
    const first = isNumber ? "descending" : "ascending";
    const second = isNumber ? "ascending" : "descending";
    const order = head.getAttribute("aria-sort") === first ? second : first;
    heads.forEach((other) => other.setAttribute("aria-sort", other === head ? order : "none"));
    const sign = order === "ascending" ? 1 : -1;
    const rows = [...table.tBodies[0].rows].map((row) => [row.cells[column].textContent, row]);
    rows.sort(([a], [b]) => {
      if (a === "" || b === "") return (a === "") - (b === "");
      return sign * (isNumber ? a - b : a.localeCompare(b, undefined, { numeric: true }));
    });
    table.tBodies[0].append(...rows.map(([, row]) => row));
  }));
}

// Every word must be in the row; `name = value`, `name != value` and `name >= number` ask one column.
function filterable(group) {
  const input = group.querySelector(".filter");
  const table = group.querySelector("table.runs");
  const names = [...table.tHead.rows[0].cells].map((cell) => cell.textContent.toLowerCase());
  const compare = {
    "=": (cell, value) => cell === value || (cell !== "" && Number(cell) === Number(value)),
    "!=": (cell, value) => !compare["="](cell, value),
    "<": (cell, value) => cell !== "" && Number(cell) < Number(value),
    "<=": (cell, value) => cell !== "" && Number(cell) <= Number(value),
    ">": (cell, value) => cell !== "" && Number(cell) > Number(value),
    ">=": (cell, value) => cell !== "" && Number(cell) >= Number(value),
  };
  // The column of a whole name, of the end of a dotted one, or of a part.
  const column = (name) => {
    const ends = [(other) => other === name, (other) => other.endsWith("." + name), (other) => other.includes(name)];
    return ends.map((end) => names.findIndex(end)).find((place) => place >= 0) ?? -1;
  };
  // A name may be several words long: as many as make one.
  const read = (text) => {
    const tests = [];
    const words = text.toLowerCase().replace(/\s*(!=|>=|<=|=|>|<)\s*/g, "$1").split(/\s+/).filter(Boolean);
    while (words.length > 0) {
      const word = words.pop();
      const [, first, sign, value] = word.match(/^(.*?)(!=|>=|<=|=|>|<)(.*)$/) ?? [];
      if (sign === undefined) {
        tests.push({ word });
        continue;
      }
      let [name, place] = [first.replaceAll("_", " "), -1];
      const known = () => {
        place = column(name);
        if (place < 0) place = column(name.replaceAll(" ", "_"));
      };
      known();
      while (words.length > 0 && names.includes(`${words.at(-1)} ${name}`)) {
        name = `${words.pop()} ${name}`;
        known();
      }
      tests.push({ name, place, sign, value });
    }
    return tests;
  };
  const matches = (cells, test) => {
    if (test.word !== undefined) return cells.some((cell) => cell.includes(test.word));
    return test.place >= 0 && compare[test.sign](cells[test.place], test.value);
  };
  input.addEventListener("input", () => {
    const tests = read(input.value);
    const unknown = tests.find((test) => test.place < 0);
    let shown = 0;
    for (const row of table.tBodies[0].rows) {
      const cells = [...row.cells].map((cell) => cell.textContent.toLowerCase());
      const isShown = tests.every((test) => matches(cells, test));
      shown += isShown;
      row.classList.toggle("gone", !isShown);
      for (const mark of marks(group, row.dataset.row)) mark.classList.toggle("gone", !isShown);
    }
    const told = `${shown} of ${table.tBodies[0].rows.length} runs`;
    group.querySelector(".shown").textContent = unknown ? `no column ${unknown.name}` : told;
  });
  for (const row of table.tBodies[0].rows) {
    row.addEventListener("mouseenter", () => light(group, row.dataset.row));
    row.addEventListener("mouseleave", () => light(group, null));
  }
}

function marks(group, row) {
  return group.querySelectorAll(`svg [data-row="${row}"]`);
}

// One of several charts is shown.
function tabs(group) {
  const buttons = [...group.querySelectorAll("[role=tab]")];
  for (const button of buttons) {
    button.addEventListener("click", () => {
      for (const other of buttons) {
        other.setAttribute("aria-selected", other === button);
        document.getElementById(other.getAttribute("aria-controls")).hidden = other !== button;
      }
    });
  }
}

// Lights up a run in the table and in all charts; null puts the light out.
function light(group, row) {
  for (const lit of group.querySelectorAll(".lit")) lit.classList.remove("lit");
  for (const chart of group.querySelectorAll("svg.chart")) chart.classList.toggle("dim", row !== null);
  if (row === null) return;
  group.querySelector(`tr[data-row="${row}"]`).classList.add("lit");
  for (const mark of marks(group, row)) mark.classList.add("lit");
}

// The curve nearest to the pointer is lit, and its nearest point is told.
function pointable(group, chart) {
  const curves = chart.querySelectorAll(".curve");
  if (curves.length === 0) return;
  const tip = document.getElementById("tip");
  const scales = chart.dataset.scales?.split(" ").map((scale) => scale.split(",").map(Number));
  let parsed = null;
  chart.addEventListener("mousemove", (event) => {
    parsed ??= [...curves].map((curve) => [curve, [...curve.getAttribute("d").matchAll(/[ML]([-\d.]+) ([-\d.]+)/g)].map((m) => [+m[1], +m[2]])]);
    const pointer = new DOMPoint(event.clientX, event.clientY).matrixTransform(chart.getScreenCTM().inverse());
    let best = { distance: 30 };
    for (const [curve, points] of parsed) {
      if (curve.classList.contains("gone")) continue;
      for (let place = 0; place < points.length; place++) {
        const [a, b] = [points[place], points[Math.min(place + 1, points.length - 1)]];
        const distance = toSegment(pointer, a, b);
        if (distance >= best.distance) continue;
        const isNearer = Math.abs(pointer.x - b[0]) < Math.abs(pointer.x - a[0]);
        best = { distance, curve, point: isNearer ? b : a };
      }
    }
    if (!best.curve) return leave();
    light(group, best.curve.dataset.row);
    tip.textContent = describe(group, best, scales);
    tip.hidden = false;
    tip.style.left = `${Math.min(event.pageX + 14, innerWidth - 430)}px`;
    tip.style.top = `${event.pageY + 14}px`;
  });
  const leave = () => {
    tip.hidden = true;
    light(group, null);
  };
  chart.addEventListener("mouseleave", leave);
}

function toSegment(pointer, [ax, ay], [bx, by]) {
  const length = (bx - ax) ** 2 + (by - ay) ** 2;
  const share = length === 0 ? 0 : Math.min(1, Math.max(0, ((pointer.x - ax) * (bx - ax) + (pointer.y - ay) * (by - ay)) / length));
  return Math.hypot(pointer.x - ax - share * (bx - ax), pointer.y - ay - share * (by - ay));
}

// The run's name and values, and where the chart has scales the epoch and the value there.
function describe(group, { curve, point }, scales) {
  const row = group.querySelector(`tr[data-row="${curve.dataset.row}"]`);
  const heads = [...row.closest("table").tHead.rows[0].cells].map((cell) => cell.textContent);
  const epochs = heads.indexOf("epochs");
  const words = [...row.cells].slice(0, epochs).map((cell, place) => (place === 0 ? cell.textContent : `${heads[place]} ${cell.textContent}`));
  if (scales) {
    const value = (place, [low, high, from, to]) => low + ((place - from) / (to - from)) * (high - low);
    words.push(`epoch ${Math.round(value(point[0], scales[0]))}: ${value(point[1], scales[1]).toFixed(4)}`);
  } else {
    words.push(`mean Dice ${row.cells[heads.indexOf("Dice mean")].textContent}`);
  }
  return words.join(" · ");
}
