"use strict";

// The page asks a backend: this server, or functions that stand in the page itself.
const PEN = 0.075; // width of a line as a share of the paper's side
const STEP = 1 / 28; // of the pen that the keyboard moves
const SHOWN = 10; // bars
const FOR = [255, 140, 0];
const AGAINST = [60, 140, 255];

const element = (id) => document.getElementById(id);
const paper = element("paper");
const marks = element("marks");
const ink = paper.getContext("2d", { willReadFrequently: true });

class Problem extends Error {}

class Server {
  async models() {
    return this.#ask("models");
  }

  async predict(model, content, why) {
    const query = new URLSearchParams({ model, pixels: 1, why: Number(why) });
    return this.#ask(`predict?${query}`, { method: "POST", body: content, headers: { "content-type": content.type } });
  }

  async collect(model, content, digit, label) {
    const query = new URLSearchParams({ model, digit, label });
    return this.#ask(`collect?${query}`, { method: "POST", body: content, headers: { "content-type": "image/png" } });
  }

  async #ask(path, options = {}) {
    const token = sessionStorage.getItem("token");
    const headers = { ...options.headers, ...(token ? { authorization: `Bearer ${token}` } : {}) };
    let answer;
    try {
      answer = await fetch(path, { ...options, headers });
    } catch {
      throw new Problem("The server does not answer.");
    }
    if (answer.status === 401) {
      element("token-form").hidden = false;
      throw new Problem("This server needs a token.");
    }
    const values = await answer.json();
    if (!answer.ok) throw new Problem(values.error);
    return values;
  }
}

const backend = globalThis.dnnBackend ?? new Server();
const state = {
  models: [],
  lines: [], // each a list of points, in shares of the paper's side
  picture: null, // {image, content, left, top, scale}
  pen: { x: 0.5, y: 0.5, line: null, isShown: false },
  found: null, // the last answer
  chosen: 0, // the digit whose details are shown
  isAsking: false,
  isOutdated: false,
};

// Drawing

function redraw() {
  const side = paper.width;
  ink.fillStyle = "#ffffff";
  ink.fillRect(0, 0, side, side);
  if (state.picture) {
    const { image, left, top, scale } = state.picture;
    ink.drawImage(image, left, top, image.width * scale, image.height * scale);
  }
  ink.strokeStyle = ink.fillStyle = "#111111";
  ink.lineWidth = PEN * side;
  ink.lineCap = ink.lineJoin = "round";
  for (const line of state.lines) {
    ink.beginPath();
    ink.moveTo(line[0].x * side, line[0].y * side);
    for (const point of line) ink.lineTo(point.x * side, point.y * side);
    ink.stroke();
  }
  element("undo").disabled = element("clear").disabled = !state.lines.length && !state.picture;
}

function redrawMarks() {
  const context = marks.getContext("2d");
  context.clearRect(0, 0, marks.width, marks.height);
  context.lineWidth = 3;
  const { left = 0, top = 0, scale = 1 } = (isPictureAlone() && state.picture) || {};
  const images = state.found?.images ?? [];
  images.forEach((one, index) => {
    if (!one.box || images.length < 2) return;
    const [x, y, right, bottom] = one.box.map((value) => value * scale);
    context.strokeStyle = index === state.chosen ? "#2a63c4" : "#9db7e0";
    context.strokeRect(left + x - 5, top + y - 5, right - x + 10, bottom - y + 10);
  });
  if (!state.pen.isShown) return;
  const [x, y] = [state.pen.x * marks.width, state.pen.y * marks.height];
  context.strokeStyle = state.pen.line ? "#c2410c" : "#2a63c4";
  context.beginPath();
  context.arc(x, y, (PEN * marks.width) / 2, 0, 2 * Math.PI);
  context.moveTo(x - 30, y);
  context.lineTo(x + 30, y);
  context.moveTo(x, y - 30);
  context.lineTo(x, y + 30);
  context.stroke();
}

function changed() {
  redraw();
  redrawMarks();
  ask();
}

function isPictureAlone() {
  return state.picture !== null && !state.lines.length;
}

function place(event) {
  const area = paper.getBoundingClientRect();
  return { x: (event.clientX - area.left) / area.width, y: (event.clientY - area.top) / area.height };
}

let drawn = null; // the line that the pointer draws

paper.addEventListener("pointerdown", (event) => {
  if (event.button !== 0) return;
  paper.setPointerCapture(event.pointerId);
  state.pen.isShown = false;
  drawn = [place(event)];
  state.lines.push(drawn);
  changed();
});

paper.addEventListener("pointermove", (event) => {
  if (!drawn) return;
  for (const each of event.getCoalescedEvents?.() ?? [event]) drawn.push(place(each));
  changed();
});

for (const kind of ["pointerup", "pointercancel"]) {
  paper.addEventListener(kind, () => {
    drawn = null;
  });
}

function undo() {
  if (state.lines.length) state.lines.pop();
  else state.picture = null;
  state.pen.line = null;
  changed();
}

function clear() {
  state.lines = [];
  state.picture = null;
  state.pen.line = null;
  changed();
}

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

paper.addEventListener("keydown", (event) => {
  const { pen } = state;
  const arrow = ARROWS[event.key];
  if (arrow) {
    pen.x = Math.min(1, Math.max(0, pen.x + arrow[0] * STEP));
    pen.y = Math.min(1, Math.max(0, pen.y + arrow[1] * STEP));
    pen.isShown = true;
    if (pen.line) {
      pen.line.push({ x: pen.x, y: pen.y });
      changed();
    }
    redrawMarks();
  } else if (event.key === " ") {
    pen.isShown = true;
    pen.line = pen.line ? null : [{ x: pen.x, y: pen.y }];
    if (pen.line) state.lines.push(pen.line);
    element("pen").textContent = pen.line ? "Pen down" : "Pen up";
    changed();
  } else if (event.key === "Delete" || event.key === "Backspace") {
    clear();
  } else if (event.key === "z" && (event.ctrlKey || event.metaKey)) {
    undo();
  } else {
    return;
  }
  event.preventDefault();
});

paper.addEventListener("focus", () => {
  state.pen.isShown = paper.matches(":focus-visible");
  redrawMarks();
});

paper.addEventListener("blur", () => {
  state.pen.isShown = false;
  redrawMarks();
});

element("undo").addEventListener("click", undo);
element("clear").addEventListener("click", clear);

// Pictures

async function show(file) {
  if (!file) return;
  let image;
  try {
    image = await createImageBitmap(file);
  } catch {
    tell(new Problem("This is no picture."));
    return;
  }
  const scale = Math.min(paper.width / image.width, paper.height / image.height);
  const [left, top] = [(paper.width - image.width * scale) / 2, (paper.height - image.height * scale) / 2];
  state.lines = [];
  state.pen.line = null;
  state.picture = { image, content: file, left, top, scale };
  changed();
}

element("file").addEventListener("change", (event) => {
  show(event.target.files[0]);
  event.target.value = "";
});

document.addEventListener("paste", (event) => {
  const file = [...event.clipboardData.files].find((each) => each.type.startsWith("image/"));
  if (file) show(file);
});

for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    element("board").classList.toggle("target", kind === "dragover");
    if (kind === "drop") show(event.dataTransfer.files[0]);
  });
}

// Asking: one question at a time, and always the newest

function content() {
  return isPictureAlone() ? state.picture.content : drawing();
}

function drawing() {
  // toBlob would wait until the browser is idle.
  const encoded = atob(paper.toDataURL("image/png").split(",")[1]);
  return new Blob([Uint8Array.from(encoded, (letter) => letter.charCodeAt(0))], { type: "image/png" });
}

async function ask() {
  if (state.isAsking) {
    state.isOutdated = true;
    return;
  }
  state.isAsking = true;
  do {
    state.isOutdated = false;
    try {
      const isEmpty = !state.lines.length && !state.picture;
      const found = isEmpty ? null : await backend.predict(element("model").value, content(), element("why").checked);
      answer(found);
    } catch (error) {
      tell(error);
    }
  } while (state.isOutdated);
  state.isAsking = false;
}

function tell(error) {
  if (!(error instanceof Problem)) throw error;
  answer(null);
  element("problem").textContent = error.message;
  element("problem").hidden = false;
}

function answer(found) {
  const unread = found?.images.find((one) => one.error);
  if (unread) {
    tell(new Problem(unread.error));
    return;
  }
  state.found = found;
  state.chosen = Math.min(state.chosen, Math.max(0, (found?.images.length ?? 1) - 1));
  element("problem").hidden = true;
  element("kept").textContent = "";
  element("details").hidden = !found;
  element("digits").hidden = !found || found.images.length < 2;
  if (found) {
    showDigits();
    choose(state.chosen);
  } else {
    const hint = make("span", "The answer appears here.");
    hint.className = "hint";
    element("answer").replaceChildren(hint);
    redrawMarks();
  }
}

function make(tag, text = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  return made;
}

const percent = (share) => (share < 1 && share > 0.9995 ? "> 99.9 %" : `${(100 * share).toFixed(1)} %`);
const named = (one) => (one.reason ? "?" : one.name);

function showDigits() {
  const buttons = state.found.images.map((one, index) => {
    const button = make("button", named(one));
    button.type = "button";
    button.addEventListener("click", () => choose(index));
    return button;
  });
  element("digits").replaceChildren(...buttons);
}

function choose(index) {
  state.chosen = index;
  const one = state.found.images[index];
  [...element("digits").children].forEach((button, at) => button.setAttribute("aria-pressed", at === index));
  const whole = state.found.images.map(named).join(" ");
  const note = one.reason ? `not a digit: ${one.reason}` : `probability ${percent(one.probability)}`;
  const several = state.found.images.length > 1;
  const detail = make("span", several ? `chosen: ${named(one)}, ${note}` : note);
  element("answer").replaceChildren(make("b", whole), " ", detail);
  showBars(one.probabilities);
  showSeen(one);
  redrawMarks();
}

function model() {
  return state.models.find((each) => each.name === element("model").value);
}

function showBars(probabilities) {
  const { classes, selected } = model();
  const best = Math.max(...selected.map((label) => probabilities[label]));
  let labels = selected;
  if (labels.length > SHOWN) {
    labels = [...labels].sort((one, other) => probabilities[other] - probabilities[one]).slice(0, SHOWN);
  }
  const rows = labels.map((label) => {
    const row = make("li");
    const track = make("span");
    const bar = make("div");
    const share = make("span", percent(probabilities[label]));
    track.className = "track";
    bar.className = "bar";
    share.className = "share";
    bar.style.width = `${100 * probabilities[label]}%`;
    track.append(bar);
    row.classList.toggle("best", probabilities[label] === best);
    row.append(make("span", classes[label]), track, share);
    return row;
  });
  element("bars").replaceChildren(...rows);
}

function showSeen(one) {
  const seen = element("seen");
  const [height, width] = [one.pixels.length, one.pixels[0].length];
  const context = seen.getContext("2d");
  [seen.width, seen.height] = [width, height];
  const image = context.createImageData(width, height);
  const strongest = one.why ? Math.max(...one.why.flat().map(Math.abs)) || 1 : 1;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const levels = [one.pixels[y][x]].flat();
      const rgb = levels.length === 3 ? levels : [levels[0], levels[0], levels[0]];
      const weight = one.why ? one.why[y][x] / strongest : 0;
      const tint = weight < 0 ? AGAINST : FOR;
      const share = Math.sqrt(Math.abs(weight));
      const grey = one.why ? 0.45 : 1; // the picture recedes behind the reasons
      for (let channel = 0; channel < 3; channel++) {
        const level = rgb[channel] * grey * (1 - share) + tint[channel] * share;
        image.data[4 * (y * width + x) + channel] = level;
      }
      image.data[4 * (y * width + x) + 3] = 255;
    }
  }
  context.putImageData(image, 0, 0);
  const name = one.name ?? model().classes[one.most_probable];
  element("caption").textContent = one.why
    ? `Orange speaks for ${name}, blue against it`
    : `What the network sees: ${height} × ${width} pixels`;
}

// Choices

element("model").addEventListener("change", () => {
  showLabels();
  ask();
});

element("why").addEventListener("change", ask);

element("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("token", element("token").value);
  element("token-form").hidden = true;
  element("problem").hidden = true;
  begin();
});

element("correction").addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    const sent = content().type === "image/png" ? content() : drawing();
    const kept = await backend.collect(element("model").value, sent, state.chosen, element("label").value);
    element("kept").textContent = `Kept as ${kept.name}.`;
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    element("kept").textContent = error.message;
  }
});

function showLabels() {
  const { classes, selected } = model();
  element("label").replaceChildren(...selected.map((label) => new Option(classes[label], label)));
}

async function begin() {
  redraw();
  try {
    const { models, collects } = await backend.models();
    state.models = models;
    element("model").replaceChildren(...models.map(({ name }) => new Option(name)));
    element("choice").hidden = models.length < 2;
    element("correction").hidden = !collects;
    element("why").parentElement.hidden = backend.canExplain === false;
    showLabels();
    ask();
  } catch (error) {
    tell(error);
  }
}

begin();
