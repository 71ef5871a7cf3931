"use strict";

// How the page works: a list (suspicious labels, pairs, a class) has rows, which are fetched page by
// page when they are looked at; `place` is the row that the keys act on, one by one or on the wall.
// A decision counts when the server has said that it is on the disk, and not before.
// Text from the server is only ever set as text.

const $ = (id) => document.getElementById(id);
const PAGE_ROWS = 100;
const KEPT_PAGES = 60;
const TILE_PX = 168;
const TILE_TEXT_PX = 48;
const SPARE_ROWS = 2; // of the wall, above and below what is seen
const TINY_PX = 160;
const TITLES = { test: "Test labels", train: "Training labels", pairs: "Near-duplicates", disagreements: "Disagreements" };

let state = null;
let list = "";
let view = "one";
let place = 0;
let total = 0;
let side = 1; // of a pair: which image the keys are about
let isBusy = false;
let history_ = []; // numbers of decisions that can be taken back, the latest last
let pages = new Map();
let items = new Map();
let shownItems = []; // what the keys act on: one item, or the two of a pair
let progressTimer = 0;
let wasAdvised = "";

// Speaking to the server

async function ask(path, body) {
  const options = body === undefined ? {} : {
    method: "POST",
    body: JSON.stringify(body),
    headers: { "Content-Type": "application/json", "X-Tenfold-Review": state.token },
  };
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Error("The server does not answer. Is `tenfold review` still running? Nothing is lost: start it again and go on here.");
  }
  let content = null;
  try { content = await answer.json(); } catch { /* below */ }
  if (!answer.ok || content === null) {
    const error = new Error(content?.error?.message || `The server answered with status ${answer.status}.`);
    error.code = content?.error?.code;
    throw error;
  }
  return content;
}

async function write(path, body) {
  try {
    return await ask(path, body);
  } catch (error) {
    if (error.code !== "stale_page") throw error;
    // The server was started again. If it is for the same images, the page goes on.
    const now = await ask("api/state");
    if (now.digest !== state.digest || now.run !== state.run || now.reviewer !== state.reviewer) throw error;
    state.token = now.token;
    return ask(path, body);
  }
}

const image = (id, size) => `image/${state.digest}/${size}/${id}`;

// What steers a terminal or turns a line around is shown as an escape, as tenfold.core.text does.
function shown(name) {
  const unsafe = /(?![\u200c\u200d])[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;
  return name.replace(unsafe, (letter) => `\\u${letter.codePointAt(0).toString(16).padStart(4, "0")}`).trim() || "(no name)";
}
const className = (label) => shown(state.classes[label]);
const number = (value) => value.toLocaleString("en");
function percent(share) {
  const value = 100 * share;
  if (value > 99.9 && value < 100) return "> 99.9%";
  if (value > 0 && value < 0.1) return "< 0.1%";
  return `${value.toFixed(value < 10 ? 1 : 0)}%`;
}

function make(tag, text, name) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (name) element.className = name;
  return element;
}

function say(text) { $("status").textContent = text; }
function complain(error) {
  $("problem").textContent = error ? error.message : "";
  $("problem").hidden = !error;
}

// Rows

function row(at) {
  const number_ = Math.floor(at / PAGE_ROWS);
  if (!pages.has(number_)) loadPage(number_);
  const page = pages.get(number_);
  return Array.isArray(page) ? page[at - number_ * PAGE_ROWS] : undefined;
}

function loadPage(number_) {
  const of = list;
  const loading = ask(`api/rows?name=${encodeURIComponent(list)}&start=${number_ * PAGE_ROWS}&count=${PAGE_ROWS}`).then((answer) => {
    if (of !== list) return;
    total = answer.total;
    pages.set(number_, answer.rows.map(plainRow));
    for (const old of pages.keys()) {
      if (pages.size <= KEPT_PAGES) break;
      if (Math.abs(old - number_) > 2) pages.delete(old);
    }
    if (view === "wall") drawWall(true);
  }).catch((error) => { pages.delete(number_); complain(error); });
  pages.set(number_, loading);
  return loading;
}

async function loadedRow(at) {
  const found = row(at);
  if (found !== undefined) return found;
  await pages.get(Math.floor(at / PAGE_ROWS));
  return row(at);
}

// Each row has `items`: one image, or the two of a pair.
function plainRow(one) {
  if (!Array.isArray(one)) return one;
  const [id, given, suggested, score, decision] = one;
  return { items: [{ id, given, suggested, score, decision }] };
}

function noteDecision(id, decision) {
  items.delete(id);
  for (const page of pages.values()) {
    if (!Array.isArray(page)) continue;
    for (const one of page) for (const item of one.items) if (item.id === id) item.decision = decision;
  }
}

async function item(id) {
  if (!items.has(id)) {
    const loading = ask(`api/item?id=${encodeURIComponent(id)}`).catch((error) => { items.delete(id); throw error; });
    items.set(id, loading);
    if (items.size > 300) items.delete(items.keys().next().value);
  }
  return items.get(id);
}

function said(decision) {
  if (!decision) return "";
  return { keep: "Kept", relabel: decision.label === null ? "" : `Now ${className(decision.label)}`, drop: "Dropped", unsure: "Cannot tell" }[decision.verdict];
}

// Lists

function drawLists() {
  const names = state.lists.map((one) => one.name);
  const buttons = state.lists.map((one) => {
    const button = make("button", TITLES[one.name]);
    button.append(make("span", `${number(one.decided)} of ${number(one.total)}`));
    button.type = "button";
    button.dataset.list = one.name;
    button.addEventListener("click", () => open(one.name));
    return button;
  });
  if (!state.is_resolving) {
    const button = make("button", "Classes");
    button.type = "button";
    button.dataset.list = "class";
    button.addEventListener("click", () => open(`class/${$("split").value}/${$("class").value}`, "wall"));
    buttons.push(button);
  }
  $("lists").replaceChildren(...buttons);
  for (const button of buttons) {
    const isHere = button.dataset.list === list || (button.dataset.list === "class" && list.startsWith("class/"));
    button.setAttribute("aria-current", String(isHere));
  }
  return names;
}

function fillChooser() {
  const split = $("split").value;
  const chosen = $("class").value;
  $("class").replaceChildren(...state.classes.map((_, label) => {
    const option = make("option", `${className(label)} (${number(state.class_counts[split][label])})`);
    option.value = String(label);
    return option;
  }));
  if (chosen) $("class").value = chosen;
}

async function open(name, wanted, at) {
  if (name !== list) { pages = new Map(); total = 0; }
  list = name;
  if (wanted) view = wanted;
  $("chooser").hidden = !list.startsWith("class/");
  drawLists();
  try {
    if (at === undefined) {
      const answer = list.startsWith("class/") ? { place: 0 } : await ask(`api/next?name=${encodeURIComponent(list)}&after=0`);
      at = answer.place ?? 0;
    }
    place = at;
    await loadedRow(place);
    if (place >= total) place = Math.max(0, total - 1);
    complain(null);
  } catch (error) { complain(error); }
  side = 1;
  await draw();
  if (view === "wall") showPlace();
  refreshProgress();
}

async function draw() {
  const isEmpty = total === 0;
  $("empty").hidden = !isEmpty;
  $("empty").textContent = list === "disagreements" ? "Reviewers agree about every image that more than one of them looked at." : "There is nothing to look at here.";
  $("one").hidden = view !== "one" || isEmpty;
  $("wall").hidden = view !== "wall" || isEmpty;
  $("toggle-name").textContent = view === "one" ? "Wall" : "One by one";
  history.replaceState(null, "", `#${view}/${place}/${list}`);
  if (isEmpty) { shownItems = []; drawActions(); return; }
  if (view === "one") await drawOne(); else drawWall(true);
}

// One by one

async function drawOne() {
  const here = `${list} ${place}`;
  const found = await loadedRow(place);
  if (!found || here !== `${list} ${place}`) return;
  let known;
  try { known = await Promise.all(found.items.map((one) => item(one.id))); } catch (error) { complain(error); return; }
  if (here !== `${list} ${place}` || view !== "one") return;
  shownItems = known;
  const isPair = known.length === 2;
  $("stage").className = isPair ? "stage pair" : "stage";
  $("stage").replaceChildren(...known.map((one, index) => shot(one, isPair ? index : null)));
  drawFacts(found);
  drawActions();
  prepare(place + 1);
}

function shot(one, index) {
  const figure = make("div", undefined, "shot");
  const frame = make("div", undefined, "frame");
  frame.append(picture(one.id, "large", `Labelled ${className(one.given)}`));
  figure.append(frame);
  if (index !== null) {
    const line = make("p");
    line.append(make("kbd", String(index + 1)), " ", make("b", className(one.given)), ` ${one.id}`);
    if (one.decision) line.append(`: ${said(one.decision)}`);
    figure.append(line);
    figure.setAttribute("aria-current", String(index === side));
    figure.addEventListener("click", () => { side = index; drawOne(); });
  }
  return figure;
}

function picture(id, size, alt) {
  const element = document.createElement("img");
  element.alt = alt;
  element.decoding = "async";
  element.addEventListener("load", () => { if (Math.max(element.naturalWidth, element.naturalHeight) <= TINY_PX) element.classList.add("tiny"); });
  element.addEventListener("error", () => { element.replaceWith(make("span", "This picture cannot be read any more.", "broken")); });
  element.src = image(id, size);
  return element;
}

function drawFacts(found) {
  const [first] = shownItems;
  const isPair = shownItems.length === 2;
  const one = isPair ? shownItems[side] : first;
  const parts = [`${number(place + 1)} of ${number(total)}`, ...(isPair ? [] : [first.id])];
  if (isPair) {
    parts.push(found.is_exact ? "the same pixels" : found.is_same ? `the same shot (agreement ${found.agreement.toFixed(2)})` : `alike (agreement ${found.agreement.toFixed(2)})`);
    if (found.is_mirrored) parts.push("mirrored");
  }
  $("where").textContent = parts.join(" · ");
  const question = $("question");
  question.replaceChildren();
  if (isPair) {
    const isConflict = shownItems[0].given !== shownItems[1].given;
    question.append(make("span", isConflict ? `${className(shownItems[0].given)} or ${className(shownItems[1].given)}?` : `Both ${className(first.given)}`, "line"));
    question.append(make("small", isConflict ? "The labels differ: one of them is wrong." : "One shot twice. Across the splits it flatters the score: drop one, or keep both."));
  } else {
    question.append(make("small", "The label says"), make("span", className(first.given), "line"));
    if (first.suggested !== null) question.append(make("small", "The models suggest"), make("span", className(first.suggested), "line"));
    if (first.source !== null) question.append(make("small", `The source's own label was ${className(first.source)}; earlier corrections changed it.`));
  }
  const decided = shownItems.map((each) => said(each.decision)).filter(Boolean);
  $("decided").hidden = decided.length === 0;
  $("decided").textContent = isPair ? shownItems.map((each, index) => each.decision ? `${index + 1}: ${said(each.decision)}` : "").filter(Boolean).join(", ") : decided.join("");
  const reviewers = Object.entries(one.said);
  $("said").hidden = reviewers.length === 0;
  $("said").replaceChildren(...reviewers.map(([name, decision], index) => {
    const line = make("li");
    line.append(make("kbd", String(index + 1)), ` ${shown(name)}: `, make("b", decision.verdict === "keep" ? `${className(decision.label)} (kept)` : said(decision)));
    return line;
  }));
  drawBars(one);
  drawNearest(one);
  $("same").hidden = isPair || one.pairs.length === 0;
  $("pairs").replaceChildren(...one.pairs.map((each) => thumb(each.id, each.label, one.given, each.id)));
}

function drawBars(one) {
  $("probabilities").hidden = one.probabilities.length === 0;
  $("judge").textContent = `By ${one.judge}.`;
  $("bars").replaceChildren(...one.probabilities.map(([label, share]) => {
    const line = make("li", undefined, label === one.given ? "given" : "");
    const track = make("span", undefined, "track");
    const fill = make("span", undefined, "fill");
    fill.style.width = `${100 * share}%`;
    track.append(fill);
    line.append(make("span", className(label), "label"), track, make("span", percent(share), "percent"));
    return line;
  }));
}

async function drawNearest(one) {
  const here = one.id;
  const note = $("nearest-note");
  $("nearest").replaceChildren(); // never those of another image beside this one
  note.hidden = false;
  note.textContent = "Looking…";
  let answer;
  try { answer = await nearest(here); } catch (error) { answer = { images: [], problem: error.message }; }
  if ((shownItems.length === 2 ? shownItems[side] : shownItems[0])?.id !== here) return;
  note.hidden = answer.images.length > 0;
  note.textContent = answer.problem ? `None: ${answer.problem}` : "";
  $("nearest").replaceChildren(...answer.images.map((each) => thumb(each.id, each.label, one.given, each.similarity.toFixed(2))));
}

function nearest(id) {
  const key = `near ${id}`;
  if (!items.has(key)) items.set(key, ask(`api/nearest?id=${encodeURIComponent(id)}`).catch((error) => { items.delete(key); throw error; }));
  return items.get(key);
}

function thumb(id, label, given, text) {
  const button = make("button", undefined, label === given ? "" : "other");
  button.type = "button";
  button.title = `Look at ${id}`;
  button.append(picture(id, "small", `${className(label)}, ${id}`), make("b", className(label)), make("span", text));
  button.addEventListener("click", () => { history.pushState(null, "", location.hash); open(`only/${id}`, "one", 0); });
  return button;
}

// What comes next is fetched while this one is looked at.
async function prepare(at) {
  if (at >= total) return;
  const next = await loadedRow(at);
  for (const one of next ? next.items : []) {
    item(one.id).catch(() => {});
    nearest(one.id).catch(() => {});
    new Image().src = image(one.id, "large");
  }
}

// The wall: only the tiles that are seen, and some more, are in the page.

const tiles = new Map();
let columns = 1;
let tileHeight = 1;
let isDrawing = false;

function drawWall(isFresh) {
  if (view !== "wall") return;
  const wall = $("wall");
  const isPairs = list === "pairs";
  const wanted = (wall.clientWidth < 500 ? 118 : TILE_PX) * (isPairs ? 1.8 : 1);
  columns = Math.max(1, Math.floor(wall.clientWidth / wanted));
  const width = wall.clientWidth / columns;
  const frameHeight = Math.round(isPairs ? width / 1.8 : width) - 11;
  tileHeight = frameHeight + TILE_TEXT_PX;
  $("ground").style.height = `${Math.ceil(total / columns) * tileHeight}px`;
  const first = Math.max(0, Math.floor(wall.scrollTop / tileHeight) - SPARE_ROWS) * columns;
  const last = Math.min(total, (Math.ceil((wall.scrollTop + wall.clientHeight) / tileHeight) + SPARE_ROWS) * columns);
  for (const [at, tile] of tiles) {
    if (at < first || at >= last || isFresh) { tile.remove(); tiles.delete(at); }
  }
  const fragment = document.createDocumentFragment();
  for (let at = first; at < last; at += 1) {
    let tile = tiles.get(at);
    if (tile && tile.dataset.loaded) continue;
    const found = row(at);
    if (tile && !found) continue;
    tile?.remove();
    tile = drawTile(at, found, frameHeight);
    tile.style.width = `${width}px`;
    tile.style.height = `${tileHeight}px`;
    tile.style.transform = `translate(${(at % columns) * width}px, ${Math.floor(at / columns) * tileHeight}px)`;
    tiles.set(at, tile);
    fragment.append(tile);
  }
  $("ground").append(fragment);
  markCurrent();
}

function drawTile(at, found, frameHeight) {
  const tile = make("div", undefined, "tile");
  const frame = make("div", undefined, "frame");
  frame.style.height = `${frameHeight}px`;
  tile.append(frame);
  tile.dataset.place = String(at);
  if (!found) return tile;
  tile.dataset.loaded = "1";
  for (const one of found.items) frame.append(picture(one.id, "small", ""));
  const decisions = found.items.map((one) => said(one.decision)).filter(Boolean);
  if (decisions.length) { frame.append(make("span", decisions.join(", "), "badge")); tile.classList.add("is-decided"); }
  const names = [...new Set(found.items.map((one) => className(one.given)))];
  tile.append(make("p", names.join(" / ")));
  const suggested = found.items.length === 1 ? found.items[0].suggested : null;
  if (suggested !== null) tile.append(make("p", `${className(suggested)}?`, "suggested"));
  tile.title = found.items.map((one) => one.id).join(", ");
  return tile;
}

function markCurrent() {
  for (const [at, tile] of tiles) tile.classList.toggle("is-current", at === place);
  const found = row(place);
  shownItems = found ? found.items : [];
  drawActions();
}

function showPlace() {
  const wall = $("wall");
  const top = Math.floor(place / columns) * tileHeight;
  if (top < wall.scrollTop) wall.scrollTop = top;
  else if (top + tileHeight > wall.scrollTop + wall.clientHeight) wall.scrollTop = top + tileHeight - wall.clientHeight;
  drawWall(false);
  history.replaceState(null, "", `#${view}/${place}/${list}`);
}

$("wall").addEventListener("scroll", () => {
  if (isDrawing) return;
  isDrawing = true;
  requestAnimationFrame(() => { isDrawing = false; drawWall(false); });
}, { passive: true });
new ResizeObserver(() => drawWall(true)).observe($("wall"));
$("wall").addEventListener("click", (event) => {
  const tile = event.target.closest(".tile");
  if (!tile) return;
  const at = Number(tile.dataset.place);
  if (at === place) { view = "one"; draw(); return; }
  place = at;
  showPlace();
});
$("wall").addEventListener("dblclick", () => { view = "one"; draw(); });

// Deciding

function drawActions() {
  const isPair = shownItems.length === 2;
  const one = isPair ? shownItems[side] : shownItems[0];
  for (const button of $("actions").children) button.disabled = !one && button.dataset.act !== "undo";
  const suggestion = isPair ? shownItems[1 - side].given : one?.suggested;
  const button = document.querySelector("[data-act=suggest]");
  button.disabled = !one || suggestion === null || suggestion === undefined || suggestion === one.given;
  $("suggest-name").textContent = button.disabled ? "Take suggestion" : isPair ? `${side + 1} is ${className(suggestion)}` : `It is ${className(suggestion)}`;
  document.querySelector("[data-act=keep] b").textContent = isPair ? "Keep both" : one ? `Keep ${className(one.given)}` : "Keep";
  document.querySelector("[data-act=drop] b").textContent = isPair ? `Drop ${side + 1}` : "Drop";
  document.querySelector("[data-act=undo]").disabled = history_.length === 0;
}

// Nobody decides about a picture that is not there yet.
function isSeen() {
  return view !== "one" || [...document.querySelectorAll("#stage img")].every((one) => one.complete);
}

async function decide(verdict, label = null, of = null) {
  const targets = of ?? (shownItems.length === 2 ? (verdict === "keep" || verdict === "unsure" ? shownItems : [shownItems[side]]) : shownItems);
  if (isBusy || targets.length === 0) return;
  if (!isSeen()) { say("The picture is still on its way."); return; }
  isBusy = true;
  const from = place;
  try {
    for (const one of targets) {
      const answer = await write("api/decide", { id: one.id, verdict, label, expects: one.decision ? one.decision.number : null });
      history_.push(answer.decision.number);
      noteDecision(one.id, answer.decision);
      say(`${one.id}: ${said(answer.decision)}. On disk.`);
    }
    complain(null);
    if (view === "one") await goOn(from);
    else { place = Math.min(from + 1, total - 1); redrawTile(from); showPlace(); }
  } catch (error) {
    complain(error);
    if (error.code === "decided_meanwhile") await reload();
  } finally {
    isBusy = false;
  }
  refreshProgress();
}

async function goOn(from) {
  if (list.startsWith("only/")) { history.back(); return; }
  const answer = await ask(`api/next?name=${encodeURIComponent(list)}&after=${from + 1}`);
  if (answer.place === null) say("All of this list is decided. Press p to see what it tells.");
  place = answer.place ?? Math.min(from + 1, total - 1);
  side = 1;
  await draw();
}

async function undo() {
  if (isBusy || history_.length === 0) return;
  isBusy = true;
  try {
    const answer = await write("api/undo", { number: history_.at(-1) });
    history_.pop();
    noteDecision(answer.id, answer.decision);
    complain(null);
    say(`Taken back: ${answer.id}${answer.decision ? `, ${said(answer.decision)} again` : " is open again"}.`);
    await goTo(answer.id);
  } catch (error) {
    complain(error);
    if (error.code === "decided_meanwhile") { history_.pop(); await reload(); }
  } finally {
    isBusy = false;
  }
  refreshProgress();
}

// Where an image is, if it is in what is loaded of this list; else it is shown alone.
async function goTo(id) {
  for (const [number_, page] of pages) {
    const at = Array.isArray(page) ? page.findIndex((one) => one.items.some((each) => each.id === id)) : -1;
    if (at >= 0) {
      place = number_ * PAGE_ROWS + at;
      if (view === "wall") { redrawTile(place); showPlace(); } else await draw();
      return;
    }
  }
  await open(`only/${id}`, "one", 0);
}

function redrawTile(at) {
  tiles.get(at)?.remove();
  tiles.delete(at);
}

async function reload() {
  pages = new Map();
  items = new Map();
  await loadedRow(place);
  await draw();
}

function move(by) {
  const at = place + by;
  if (at < 0 || at >= total) return;
  place = at;
  side = 1;
  if (view === "wall") showPlace(); else draw();
}

async function nextOpen() {
  try {
    const answer = await ask(`api/next?name=${encodeURIComponent(list)}&after=${place + 1}`);
    if (answer.place === null) { say("All of this list is decided."); return; }
    place = answer.place;
    if (view === "wall") showPlace(); else await draw();
  } catch (error) { complain(error); }
}

// Relabelling: type to find a class

let candidates = [];
let chosen = 0;

function askForClass() {
  if (shownItems.length === 0 || isBusy || !isSeen()) return;
  $("find").value = "";
  find();
  $("relabel").showModal();
  $("find").focus();
}

function find() {
  const one = shownItems.length === 2 ? shownItems[side] : shownItems[0];
  const text = $("find").value.trim().toLowerCase();
  const rank = (name) => (name.startsWith(text) ? 0 : name.split(/[\s_-]+/).some((part) => part.startsWith(text)) ? 1 : name.includes(text) ? 2 : 3);
  const likely = new Map((one.probabilities ?? []).map(([label], order) => [label, order]));
  candidates = state.classes.map((_, label) => ({ label, rank: text ? rank(className(label).toLowerCase()) : 0, order: likely.get(label) ?? 99 }))
    .filter((each) => each.rank < 3)
    .sort((a, b) => a.rank - b.rank || a.order - b.order || a.label - b.label)
    .slice(0, 60);
  chosen = 0;
  drawFound(one);
}

function drawFound(one) {
  $("found").replaceChildren(...candidates.map((each, index) => {
    const line = make("li", className(each.label));
    if (each.label === one.given) line.append(make("span", "its label now"));
    else if (each.label === one.suggested) line.append(make("span", "suggested"));
    line.setAttribute("role", "option");
    line.id = `found-${index}`;
    line.setAttribute("aria-selected", String(index === chosen));
    line.addEventListener("click", () => take(index));
    return line;
  }));
  if (candidates.length === 0) $("found").append(make("li", "No class is called so."));
  $("find").setAttribute("aria-activedescendant", candidates.length ? `found-${chosen}` : "");
  $("found").children[chosen]?.scrollIntoView({ block: "nearest" });
}

function take(index) {
  const found = candidates[index];
  if (!found) return;
  $("relabel").close();
  decide("relabel", found.label, shownItems.length === 2 ? [shownItems[side]] : null);
}

$("find").addEventListener("input", find);
$("find").addEventListener("keydown", (event) => {
  const one = shownItems.length === 2 ? shownItems[side] : shownItems[0];
  if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    event.preventDefault();
    chosen = Math.max(0, Math.min(candidates.length - 1, chosen + (event.key === "ArrowDown" ? 1 : -1)));
    drawFound(one);
  } else if (event.key === "Enter") {
    event.preventDefault();
    take(chosen);
  }
  event.stopPropagation();
});

// Is it worth going on?

function refreshProgress() {
  if (progressTimer) return;
  progressTimer = setTimeout(async () => {
    progressTimer = 0;
    if (list.startsWith("only/")) return;
    try { drawProgress(await ask(`api/progress?name=${encodeURIComponent(list)}`)); } catch { /* the next decision says it */ }
  }, 150);
}

const interval = (one) => `${percent(one.interval.low)} to ${percent(one.interval.high)}`;

function worth(found) {
  if (!found || found.seen === 0) return "Nothing was looked at in this list yet.";
  const all = `${number(found.wrong)} of ${number(found.seen)} labels that you looked at were wrong.`;
  if (!found.last) return `${all} From 50 on, this says whether it is worth going on.`;
  const last = found.last;
  const ranks = `the last 50 (ranks ${number(last.first)} to ${number(last.last)})`;
  if (last.wrong === 0) return `${all} Of ${ranks} none was: at this rank fewer than ${percent(last.interval.high)} are likely to be wrong, and further down fewer. It is hardly worth going on.`;
  return `${all} Of ${ranks} ${number(last.wrong)} were: about ${Math.max(1, Math.round(last.wrong))} of the next 50 will be, between ${Math.round(50 * last.interval.low)} and ${Math.round(50 * last.interval.high)}.`;
}

function drawProgress(answer) {
  state.lists = answer.lists;
  drawLists();
  const found = answer.yield;
  $("verdict").textContent = found ? worth(found) : `${number(answer.list.decided)} of ${number(answer.list.total)} looked at.`;
  $("ranks").parentElement.hidden = !found || found.blocks.length === 0;
  $("ranks").tBodies[0].replaceChildren(...(found ? found.blocks : []).map((one) => {
    const line = make("tr");
    const cell = make("td");
    const share = make("div", undefined, "share");
    const track = make("span", undefined, "track");
    const span = make("span", undefined, "span");
    const dot = make("span", undefined, "dot");
    span.style.left = `${100 * one.interval.low}%`;
    span.style.width = `${100 * (one.interval.high - one.interval.low)}%`;
    dot.style.left = `${100 * one.wrong / one.seen}%`;
    track.append(span, dot);
    share.append(track, make("span", `${percent(one.wrong / one.seen)} (${interval(one)})`));
    cell.append(share);
    line.append(make("td", `${number(one.first)} to ${number(one.last)}`, "nowrap"), make("td", number(one.seen), "n"), make("td", number(one.wrong), "n"), make("td", number(one.unsure), "n"), cell);
    return line;
  }));
  const counts = answer.counts;
  $("counts").textContent = `In all lists: ${number(counts.keep)} kept, ${number(counts.relabel)} relabelled, ${number(counts.drop)} dropped, ${number(counts.unsure)} unclear.`;
  $("agreement").replaceChildren();
  if (answer.agreements.length) {
    $("agreement").append(make("h3", "Agreement of reviewers"));
    for (const one of answer.agreements) {
      const kappa = one.kappa === null ? "" : `, Cohen's kappa ${one.kappa.toFixed(2)}`;
      $("agreement").append(make("p", `${shown(one.first)} and ${shown(one.second)}: the same for ${percent(one.share)} of ${number(one.images)} images that both looked at${kappa}.`));
    }
    if (answer.disagreements && !state.is_resolving) {
      $("agreement").append(make("p", `Where they disagree (${number(answer.disagreements)} images) nothing is changed until it is resolved:`));
      const line = make("div", undefined, "command");
      line.append(make("code", state.commands.resolve));
      $("agreement").append(line);
    }
  }
  advise(found);
}

function advise(found) {
  const isOver = found?.last && found.last.wrong === 0;
  const text = isOver ? `The last 50 labels that you looked at were all right (ranks ${number(found.last.first)} to ${number(found.last.last)}). It is hardly worth going on in this list: press p to see why, and what to do now.` : "";
  if (text !== wasAdvised) { wasAdvised = text; $("advice").textContent = text; $("advice").hidden = !text; }
}

// Keys and buttons

function act(name) {
  const isPair = shownItems.length === 2;
  const one = isPair ? shownItems[side] : shownItems[0];
  switch (name) {
    case "keep": decide("keep"); break;
    case "drop": decide("drop"); break;
    case "unsure": decide("unsure"); break;
    case "relabel": askForClass(); break;
    case "suggest": {
      const suggestion = isPair ? shownItems[1 - side].given : one?.suggested;
      if (one && suggestion !== null && suggestion !== undefined && suggestion !== one.given) decide("relabel", suggestion, [one]);
      break;
    }
    case "undo": undo(); break;
    case "next": move(1); break;
    case "previous": move(-1); break;
    default: break;
  }
}

// Whoever resolves sides with one of the reviewers, or of a pair chooses an image.
function choose(index) {
  if (shownItems.length === 2) { side = index; if (view === "one") drawOne(); else drawActions(); return; }
  const decision = Object.values(shownItems[0]?.said ?? {})[index];
  if (decision) decide(decision.verdict, decision.label);
}

function toggle() { view = view === "one" ? "wall" : "one"; draw().then(() => { if (view === "wall") { showPlace(); $("wall").focus(); } }); }

function isTyping() {
  return document.querySelector("dialog[open]") || ["INPUT", "SELECT", "TEXTAREA"].includes(document.activeElement?.tagName);
}

const KEYS = { k: "keep", s: "suggest", r: "relabel", d: "drop", x: "unsure", u: "undo", j: "next" };

document.addEventListener("keydown", (event) => {
  if (!state || isTyping() || event.altKey) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (event.ctrlKey || event.metaKey) {
    if (key === "z") { event.preventDefault(); undo(); }
    return;
  }
  const isMove = key.startsWith("Arrow") || key === "j";
  if (event.repeat && !isMove) return; // nobody means to decide twice in a blink
  if (KEYS[key]) act(KEYS[key]);
  else if (key === "ArrowRight") move(1);
  else if (key === "ArrowLeft") move(-1);
  else if (key === "ArrowDown" && view === "wall") move(columns);
  else if (key === "ArrowUp" && view === "wall") move(-columns);
  else if (key === "n") nextOpen();
  else if (key === "1" || key === "2") choose(Number(key) - 1);
  else if (key === "w") toggle();
  else if (key === "Enter" && view === "wall") toggle();
  else if (key === "Escape" && list.startsWith("only/")) history.back();
  else if (key === "p") $("progress").showModal();
  else if (key === "?") $("help").showModal();
  else return;
  event.preventDefault();
});

$("actions").addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  button.blur(); // or the next Enter would press it again
  act(button.dataset.act);
});
$("toggle").addEventListener("click", () => { toggle(); });
$("show-progress").addEventListener("click", () => $("progress").showModal());
$("show-help").addEventListener("click", () => $("help").showModal());
$("copy").addEventListener("click", async () => {
  try { await navigator.clipboard.writeText($("retrain").textContent); $("copy").textContent = "Copied"; } catch { getSelection().selectAllChildren($("retrain")); }
});
for (const id of ["split", "class"]) {
  $(id).addEventListener("change", () => { fillChooser(); open(`class/${$("split").value}/${$("class").value}`, "wall"); $("main").focus(); });
}
addEventListener("popstate", () => { follow(); });

// The address names what is shown: #VIEW/PLACE/LIST
function follow() {
  const [, wanted, at, name] = /^#(one|wall)\/(\d+)\/(.+)$/.exec(decodeURIComponent(location.hash)) ?? [];
  const isKnown = name && (state.lists.some((one) => one.name === name) || /^(class|only)\//.test(name));
  if (isKnown) return open(name, wanted, Number(at));
  if (state.lists.length) return open(state.lists[0].name, "one");
  return open("class/test/0", "wall");
}

async function begin() {
  try { state = await ask("api/state"); } catch (error) { complain(error); return; }
  history_ = state.history;
  $("retrain").textContent = state.commands.retrain;
  $("folder").textContent = `${state.run}/review`;
  fillChooser();
  if (state.notes.length) say(state.notes.join(" "));
  // Another tab may have decided meanwhile.
  document.addEventListener("visibilitychange", () => { if (!document.hidden) reload(); });
  await follow();
}
begin();
