"use strict";

// Follows the system's colour scheme until the button is pressed.
document.getElementById("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const scheme = root.style.colorScheme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  root.style.colorScheme = scheme === "dark" ? "light" : "dark";
});

for (const group of document.querySelectorAll("section.group")) {
  makeSortable(group);
  makeFilterable(group);
  connectTabs(group);
  for (const chart of group.querySelectorAll("svg.chart")) addTooltips(group, chart);
}

// Clicking a column header sorts by that column; empty cells come last.
function makeSortable(group) {
  const table = group.querySelector("table.runs");
  if (!table) return;
  const headers = [...table.tHead.rows[0].cells];
  headers.forEach((header, column) => header.addEventListener("click", () => {
    const isNumber = table.querySelector(`td:nth-child(${column + 1})`)?.classList.contains("number");
    const first = isNumber ? "descending" : "ascending";
    const second = isNumber ? "ascending" : "descending";
    const order = header.getAttribute("aria-sort") === first ? second : first;
    headers.forEach((other) => other.setAttribute("aria-sort", other === header ? order : "none"));
    const sign = order === "ascending" ? 1 : -1;
    const rows = [...table.tBodies[0].rows].map((row) => [row.cells[column].textContent, row]);
    rows.sort(([a], [b]) => {
      if (a === "" || b === "") return (a === "") - (b === "");
      return sign * (isNumber ? a - b : a.localeCompare(b, undefined, { numeric: true }));
    });
    table.tBodies[0].append(...rows.map(([, row]) => row));
  }));
}

// Every word of the filter must occur in the row; `name = value`, `name != value` and `name >= number` test one column.
function makeFilterable(group) {
  const input = group.querySelector(".filter");
  const table = group.querySelector("table.runs");
  if (!table) return;
  const names = [...table.tHead.rows[0].cells].map((cell) => cell.textContent.toLowerCase());
  const comparisons = {
    "=": (cell, value) => cell === value || (cell !== "" && Number(cell) === Number(value)),
    "!=": (cell, value) => !comparisons["="](cell, value),
    "<": (cell, value) => cell !== "" && Number(cell) < Number(value),
    "<=": (cell, value) => cell !== "" && Number(cell) <= Number(value),
    ">": (cell, value) => cell !== "" && Number(cell) > Number(value),
    ">=": (cell, value) => cell !== "" && Number(cell) >= Number(value),
  };
  // The column with this name, with a dotted name that ends with it, or with a name that contains it.
  const findColumn = (name) => {
    const matches = [(other) => other === name, (other) => other.endsWith("." + name), (other) => other.includes(name)];
    return matches.map((match) => names.findIndex(match)).find((column) => column >= 0) ?? -1;
  };
  // The unit of a column may be left out.
  const isColumn = (name) => names.some((other) => other === name || other.startsWith(`${name} (`));
  // A column name can have several words; words are prepended as long as the result is a column.
  const parse = (text) => {
    const tests = [];
    const words = text.toLowerCase().replace(/\s*(!=|>=|<=|=|>|<)\s*/g, "$1").split(/\s+/).filter(Boolean);
    while (words.length > 0) {
      const word = words.pop();
      const [, first, operator, value] = word.match(/^(.*?)(!=|>=|<=|=|>|<)(.*)$/) ?? [];
      if (operator === undefined) {
        tests.push({ word });
        continue;
      }
      let [name, column] = [first.replaceAll("_", " "), -1];
      const lookUp = () => {
        column = findColumn(name);
        if (column < 0) column = findColumn(name.replaceAll(" ", "_"));
      };
      lookUp();
      while (words.length > 0 && isColumn(`${words.at(-1)} ${name}`)) {
        name = `${words.pop()} ${name}`;
        lookUp();
      }
      tests.push({ name, column, operator, value });
    }
    return tests;
  };
  const passes = (cells, test) => {
    if (test.word !== undefined) return cells.some((cell) => cell.includes(test.word));
    return test.column >= 0 && comparisons[test.operator](cells[test.column], test.value);
  };
  input.addEventListener("input", () => {
    const tests = parse(input.value);
    const unknown = tests.find((test) => test.column < 0);
    let shown = 0;
    for (const row of table.tBodies[0].rows) {
      const cells = [...row.cells].map((cell) => cell.textContent.toLowerCase());
      const isShown = tests.every((test) => passes(cells, test));
      shown += isShown;
      row.classList.toggle("filtered-out", !isShown);
      for (const mark of marks(group, row.dataset.run)) mark.classList.toggle("filtered-out", !isShown);
    }
    const status = `${shown} of ${table.tBodies[0].rows.length} runs`;
    group.querySelector(".shown").textContent = unknown ? `no column ${unknown.name}` : status;
  });
  for (const row of table.tBodies[0].rows) {
    row.addEventListener("mouseenter", () => highlight(group, row.dataset.run));
    row.addEventListener("mouseleave", () => highlight(group, null));
  }
}

// The curves and points of a run in the charts.
function marks(group, run) {
  return group.querySelectorAll(`svg [data-run="${run}"]`);
}

// Shows one of several charts.
function connectTabs(group) {
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

// Highlights a run in the table and in all charts; null removes the highlight.
function highlight(group, run) {
  for (const mark of group.querySelectorAll(".highlighted")) mark.classList.remove("highlighted");
  for (const chart of group.querySelectorAll("svg.chart")) chart.classList.toggle("dimmed", run !== null);
  if (run === null) return;
  group.querySelector(`tr[data-run="${run}"]`).classList.add("highlighted");
  for (const mark of marks(group, run)) mark.classList.add("highlighted");
}

// Highlights the curve nearest to the pointer, and shows its nearest point in a tooltip.
function addTooltips(group, chart) {
  const curves = chart.querySelectorAll(".curve");
  if (curves.length === 0) return;
  const tooltip = document.getElementById("tooltip");
  const axes = chart.dataset.axes?.split(" ").map((axis) => axis.split(",").map(Number));
  let parsed = null;
  chart.addEventListener("mousemove", (event) => {
    parsed ??= [...curves].map((curve) => [curve, [...curve.getAttribute("d").matchAll(/[ML]([-\d.]+) ([-\d.]+)/g)].map((m) => [+m[1], +m[2]])]);
    const pointer = new DOMPoint(event.clientX, event.clientY).matrixTransform(chart.getScreenCTM().inverse());
    let nearest = { distance: 30 };
    for (const [curve, points] of parsed) {
      if (curve.classList.contains("filtered-out")) continue;
      for (let i = 0; i < points.length; i++) {
        const [a, b] = [points[i], points[Math.min(i + 1, points.length - 1)]];
        const distance = distanceToSegment(pointer, a, b);
        if (distance >= nearest.distance) continue;
        const isEndNearer = Math.abs(pointer.x - b[0]) < Math.abs(pointer.x - a[0]);
        nearest = { distance, curve, point: isEndNearer ? b : a };
      }
    }
    if (!nearest.curve) return leave();
    highlight(group, nearest.curve.dataset.run);
    tooltip.textContent = describe(group, nearest, axes, Number(chart.dataset.decimals));
    tooltip.hidden = false;
    tooltip.style.left = `${Math.min(event.pageX + 14, innerWidth - 430)}px`;
    tooltip.style.top = `${event.pageY + 14}px`;
  });
  const leave = () => {
    tooltip.hidden = true;
    highlight(group, null);
  };
  chart.addEventListener("mouseleave", leave);
}

function distanceToSegment(pointer, [ax, ay], [bx, by]) {
  const squaredLength = (bx - ax) ** 2 + (by - ay) ** 2;
  const projection = ((pointer.x - ax) * (bx - ax) + (pointer.y - ay) * (by - ay)) / squaredLength;
  const t = squaredLength === 0 ? 0 : Math.min(1, Math.max(0, projection));
  return Math.hypot(pointer.x - ax - t * (bx - ax), pointer.y - ay - t * (by - ay));
}

// The name and values of a run, with the epoch and value at the point if the chart has axes, or else the mean score.
function describe(group, { curve, point }, axes, decimals) {
  const row = group.querySelector(`tr[data-run="${curve.dataset.run}"]`);
  const headers = [...row.closest("table").tHead.rows[0].cells].map((cell) => cell.textContent);
  const cells = [...row.cells].slice(0, headers.indexOf("epochs"));
  const parts = cells.map((cell, column) => (column === 0 ? cell.textContent : `${headers[column]} ${cell.textContent}`));
  if (axes) {
    const value = (pixel, [low, high, start, end]) => low + ((pixel - start) / (end - start)) * (high - low);
    parts.push(`epoch ${Math.round(value(point[0], axes[0]))}: ${value(point[1], axes[1]).toFixed(decimals)}`);
  } else {
    parts.push(`${group.dataset.mean} ${row.cells[headers.indexOf(group.dataset.mean)].textContent}`);
  }
  return parts.join(" · ");
}
