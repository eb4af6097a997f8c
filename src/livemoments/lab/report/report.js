"use strict";
document.documentElement.classList.add("js");

// Sorting: by the number a cell begins with, or its text; what has none comes last.

function sortTable(head) {
  const table = head.closest("table");
  const column = head.cellIndex;
  const down = head.getAttribute("aria-sort") === "ascending";
  const key = (row) => {
    const cell = row.cells[column];
    const text = (cell.querySelector(".number") || cell).textContent.trim();
    const number = parseFloat(text.replace("\u2212", "-"));
    return cell.tagName === "TH" || cell.className === "text" ? text : number;
  };
  const order = (one, two) => {
    if (typeof one === "string") {
      return one.localeCompare(two, undefined, { numeric: true }) * (down ? -1 : 1);
    }
    if (Number.isNaN(one) || Number.isNaN(two)) return Number.isNaN(one) - Number.isNaN(two);
    return (one - two) * (down ? -1 : 1);
  };
  const body = table.tBodies[0];
  const rows = [...body.rows].map((row) => [key(row), row]);
  rows.sort((one, two) => order(one[0], two[0]));
  body.append(...rows.map(([, row]) => row));
  for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
}

for (const head of document.querySelectorAll("th[data-sort]")) {
  const button = document.createElement("button");
  button.type = "button";
  button.append(...head.childNodes);
  button.addEventListener("click", () => sortTable(head));
  head.append(button);
}

// The magnifier: all crops of a row show the same place, larger.

function magnifier(row) {
  const place = { x: 50, y: 50 };
  const show = (zoom) => {
    row.classList.toggle("magnified", zoom > 1);
    row.dataset.zoom = zoom;
    row.style.setProperty("--zoom", zoom);
    row.style.setProperty("--x", `${place.x}%`);
    row.style.setProperty("--y", `${place.y}%`);
  };
  const zoom = () => Number(row.dataset.zoom || 1);
  const next = () => ({ 1: 2, 2: 4, 4: 1 })[zoom()];
  const inside = (value) => Math.min(100, Math.max(0, value));
  const follow = (event) => {
    const view = event.target.closest(".view");
    if (!view) return false;
    const box = view.getBoundingClientRect();
    place.x = inside((100 * (event.clientX - box.left)) / box.width);
    place.y = inside((100 * (event.clientY - box.top)) / box.height);
    return true;
  };
  row.tabIndex = 0;
  row.addEventListener("click", (event) => follow(event) && show(next()));
  row.addEventListener("pointermove", (event) => zoom() > 1 && follow(event) && show(zoom()));
  row.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [-5, 0], ArrowRight: [5, 0], ArrowUp: [0, -5], ArrowDown: [0, 5] };
    if (event.key === "Enter") show(next());
    else if (event.key === "Escape") show(1);
    else if (step[event.key] && zoom() > 1) {
      place.x = inside(place.x + step[event.key][0]);
      place.y = inside(place.y + step[event.key][1]);
      show(zoom());
    } else return;
    event.preventDefault();
  });
}

// The slider: two pictures of one crop over each other.

function chooser(name, choices, chosen) {
  const label = document.createElement("label");
  const select = document.createElement("select");
  for (const [value, text] of choices) select.append(new Option(text, value));
  select.value = chosen;
  label.append(name, select);
  return { label, select };
}

function picture(kind) {
  const image = document.createElement("img");
  image.className = kind;
  return image;
}

function slider(article) {
  const rows = [...article.querySelectorAll(".tiles")];
  const names = [...rows[0].children].map((tile) => tile.querySelector("b").textContent);
  const seen = (tile) => rows.some((row) => row.children[tile].querySelector("img"));
  const choices = names.map((name, i) => [i, name]).filter(([i]) => seen(i));
  if (choices.length < 2) return;
  const ours = [...rows[0].children].findIndex((tile) => tile.classList.contains("ours"));
  const second = choices.some(([i]) => i === ours) ? ours : choices[choices.length - 1][0];
  const first = choices.find(([i]) => i !== second)[0];
  const left = chooser("Left", choices, first);
  const right = chooser("Right", choices, second);
  const crop = chooser("Crop", rows.map((_, i) => [i, i + 1]), 0);
  const zoom = chooser("Zoom", [1, 2, 3, 4].map((z) => [z, `${z}\u00d7`]), 2);

  const stage = document.createElement("div");
  stage.className = "stage";
  const under = picture("under");
  const over = picture("over");
  const labels = ["left", "right"].map((side) => {
    const label = document.createElement("span");
    label.className = side;
    return label;
  });
  const range = document.createElement("input");
  Object.assign(range, { type: "range", min: 0, max: 100, step: 0.5, value: 50 });
  stage.append(under, over, ...labels, range);

  const move = () => stage.style.setProperty("--at", `${range.value}%`);
  const show = () => {
    const tiles = rows[crop.select.value].children;
    for (const [side, image, label] of [[left, over, labels[0]], [right, under, labels[1]]]) {
      const shown = tiles[side.select.value].querySelector("img");
      image.hidden = !shown;
      if (shown) Object.assign(image, { src: shown.src, alt: shown.alt });
      label.textContent = names[side.select.value];
    }
    const width = Number(article.querySelector(".view img").getAttribute("width"));
    stage.style.width = `${width * zoom.select.value}px`;
    const [one, two] = labels.map((label) => label.textContent);
    range.setAttribute("aria-label", `Where ${one} ends and ${two} begins`);
  };
  const controls = document.createElement("div");
  controls.className = "controls";
  for (const each of [left, right, crop, zoom]) {
    controls.append(each.label);
    each.select.addEventListener("change", show);
  }
  range.addEventListener("input", move);
  const whole = document.createElement("div");
  whole.className = "slider";
  whole.append(controls, stage);
  article.querySelector(".overview").append(whole);
  move();
  show();
}

document.querySelectorAll(".tiles").forEach(magnifier);
document.querySelectorAll("article").forEach(slider);
