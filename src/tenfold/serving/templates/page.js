"use strict";

// How the page works: every image is one request, a few at a time; its result is a copy of the
// template. Text from the server is only ever set as text.

const LIMITS = document.body.dataset;
const MOST_AT_ONCE = 4;
const SHOWN_BARS = 5;
const MOST_NAMED = 8; // classes of a set
const EXPLAINED_UNASKED = 3; // with more images at once, reasons are shown when asked for
const PREVIEW_IS_TINY_PX = 160;

const $ = (id) => document.getElementById(id);
const results = $("results");
const queue = [];
let running = 0;
let done = 0;
let failed = 0;
let asked = 0;
let token = sessionStorage.getItem("token") || "";

document.querySelectorAll(".origin").forEach((place) => { place.textContent = location.origin; });

async function send(path, file) {
  if (globalThis.askNetwork) return globalThis.askNetwork(path, file); // a page without a server
  const options = { headers: {} };
  if (file) Object.assign(options, { method: "POST", body: file, headers: { "Content-Type": "application/octet-stream" } });
  let answer;
  try {
    if (token) options.headers.Authorization = `Bearer ${token}`;
    answer = await fetch(path, options);
  } catch {
    throw new Error("The server does not answer. Is it still running?");
  }
  let content = null;
  try { content = await answer.json(); } catch { /* below */ }
  if (answer.status === 401) askForToken();
  if (!answer.ok || content === null) {
    throw new Error(content?.error?.message || `The server answered with status ${answer.status}.`);
  }
  return content;
}

function askForToken() {
  sessionStorage.removeItem("token");
  token = "";
  $("use").hidden = true;
  $("token-form").hidden = false;
  $("token").focus();
}

// With a token, the page comes without a word about the model; it is asked for with the token.
async function showModel() {
  if (!token) { askForToken(); return; }
  let model;
  try {
    model = await send("api/model");
  } catch (error) {
    say(error.message);
    $("token-form").hidden = false;
    return;
  }
  sessionStorage.setItem("token", token);
  const count = model.classes.length.toLocaleString("en");
  document.title = `${model.title}: classify images`;
  $("title").textContent = model.title;
  $("model").textContent = ` · ${[`model ${model.model}`, model.quantization].filter(Boolean).join(" · ")}`;
  let verdict = `Tells ${count} classes apart`;
  if (model.accuracy !== null) {
    verdict += `; right on ${(100 * model.accuracy).toFixed(1)}% of ${model.test_count.toLocaleString("en")} test images that it had not seen`;
  }
  verdict += ".";
  if (model.set_coverage !== null) {
    verdict += ` Its sets hold the true class in ${rate(model.set_coverage)} of such images.`;
    LIMITS.setCoverage = String(model.set_coverage);
  }
  $("verdict").textContent = verdict;
  $("classes").replaceChildren(...model.classes.map((name) => {
    const item = document.createElement("li");
    item.textContent = name;
    return item;
  }));
  $("class-count").textContent = `Show all ${count}`;
  LIMITS.classes = String(model.classes.length);
  LIMITS.explains = String(model.explains);
  for (const id of ["use", "about-classes"]) $(id).hidden = false;
  $("token-form").hidden = true;
  say("");
  $("files").focus();
  showDrift();
}

$("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  token = $("token").value.trim();
  $("token").value = "";
  showModel();
});
if (LIMITS.needsToken === "true") showModel();
else showDrift();

// What most answers were like lately, where that is unlike the test images.
async function showDrift() {
  if (globalThis.askNetwork) return;
  let live;
  try { live = await send("api/live"); } catch { return; }
  $("live").textContent = live.sentence;
  $("live").hidden = live.compared_windows === 0 && live.available;
  $("live").className = live.drifts ? "warning" : "live";
}

function percent(probability) {
  const value = 100 * probability;
  if (value > 99.9 && value < 100) return "> 99.9%";
  if (value > 0 && value < 0.1) return "< 0.1%";
  return `${value.toFixed(1)}%`;
}

function rate(share) { return `${Number((100 * share).toFixed(4))}%`; }

// What steers a terminal or turns a line around is shown as an escape, as tenfold.core.text does.
function shown(name) {
  const unsafe = /(?![\u200c\u200d])[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;
  return name.replace(unsafe, (letter) => `\\u${letter.codePointAt(0).toString(16).padStart(4, "0")}`).trim() || "(no name)";
}

function say(text) { $("status").textContent = text; }

function sayProgress() {
  const left = asked - done;
  const parts = [];
  if (left > 0) parts.push(`Classifying ${left.toLocaleString("en")} of ${asked.toLocaleString("en")} images…`);
  else parts.push(asked === 1 ? "1 image" : `${asked.toLocaleString("en")} images`);
  if (failed > 0) parts.push(`${failed.toLocaleString("en")} could not be classified`);
  say(parts.join(", "));
  $("clear").hidden = results.children.length === 0 || left > 0;
}

function add(files) {
  const images = [...files];
  if (images.length === 0) return;
  if (done === asked) { asked = done = failed = 0; }
  const explains = LIMITS.explains === "true";
  const fragment = document.createDocumentFragment();
  for (const file of images) {
    const article = $("result-template").content.firstElementChild.cloneNode(true);
    showPicture(article, file);
    article.querySelector("h2").textContent = "…";
    article.querySelector(".name").textContent = file.name ? shown(file.name) : "Pasted image";
    fragment.append(article);
    queue.push({ file, article, explainsAtOnce: explains && images.length <= EXPLAINED_UNASKED });
  }
  results.prepend(fragment);
  asked += images.length;
  sayProgress();
  next();
}

function showPicture(article, file) {
  const place = article.querySelector(".picture");
  const image = place.querySelector("img");
  image.addEventListener("load", () => {
    if (Math.max(image.naturalWidth, image.naturalHeight) <= PREVIEW_IS_TINY_PX) image.classList.add("tiny");
    URL.revokeObjectURL(image.src);
  });
  image.addEventListener("error", () => { place.classList.add("none"); URL.revokeObjectURL(image.src); });
  image.alt = file.name ? `Your image ${file.name}` : "Your pasted image";
  image.src = URL.createObjectURL(file);
}

function next() {
  while (running < MOST_AT_ONCE && queue.length > 0) {
    running += 1;
    classify(queue.shift()).finally(() => { running -= 1; done += 1; sayProgress(); next(); });
  }
}

async function classify({ file, article, explainsAtOnce }) {
  try {
    if (file.size > Number(LIMITS.bodyBytes)) {
      throw new Error(`The image is too large (${(file.size / 2 ** 20).toFixed(0)} MiB).`);
    }
    const answer = await send(`api/predict?top=${Math.min(Number(LIMITS.classes) || 1000, 1000)}`, file);
    showResult(article, answer.results[0]);
    if (LIMITS.explains === "true") offerReasons(article, file, explainsAtOnce);
  } catch (error) {
    failed += 1;
    article.querySelector("h2").textContent = "Not classified";
    showProblem(article, error);
  }
}

function showProblem(article, error) {
  const problem = article.querySelector(".problem");
  problem.textContent = error.message;
  problem.hidden = false;
}

function showResult(article, result) {
  const title = article.querySelector("h2");
  article.querySelector(".unlike").hidden = !result.unlike;
  title.textContent = `${result.unlike ? "None of these? " : ""}${shown(result.class)}`;
  const sure = document.createElement("span");
  sure.className = "sure";
  sure.textContent = percent(result.probability);
  title.append(" ", sure);
  showSet(article, result.set);
  const list = article.querySelector(".bars");
  result.top.forEach((entry, place) => list.append(bar(entry, place)));
  const more = result.top.length - SHOWN_BARS;
  const button = article.querySelector(".all");
  if (more <= 0) return;
  button.hidden = false;
  button.textContent = `Show ${more.toLocaleString("en")} more`;
  button.addEventListener("click", () => {
    list.querySelectorAll("li").forEach((item) => { item.hidden = false; });
    button.remove();
    list.setAttribute("tabindex", "-1");
    list.focus();
  });
}

// The classes among which the true one is, at the rate that the model was calibrated for.
function showSet(article, names) {
  if (!names) return;
  const place = article.querySelector(".set");
  place.append(`${rate(Number(LIMITS.setCoverage))} set: `);
  names.slice(0, MOST_NAMED).forEach((name, n) => {
    const label = document.createElement("b");
    label.textContent = shown(name);
    place.append(n > 0 ? ", " : "", label);
  });
  const more = names.length - MOST_NAMED;
  if (more > 0) place.append(` and ${more.toLocaleString("en")} more`);
  place.hidden = false;
}

function bar(entry, place) {
  const item = document.createElement("li");
  const [label, track, fill, value] = ["span", "span", "span", "span"].map((name) => document.createElement(name));
  label.className = "label";
  label.textContent = shown(entry.class);
  track.className = "track";
  track.style.display = fill.style.display = "block";
  fill.className = "fill";
  fill.style.width = `${100 * entry.probability}%`;
  track.append(fill);
  value.className = "percent";
  value.textContent = percent(entry.probability);
  item.append(label, track, value);
  item.hidden = place >= SHOWN_BARS;
  return item;
}

function offerReasons(article, file, isAtOnce) {
  const button = article.querySelector(".ask");
  const ask = async () => {
    button.disabled = true;
    try {
      showReasons(article, await send("api/explain", file));
      button.hidden = true;
    } catch (error) {
      showProblem(article, error);
      button.disabled = false;
      button.hidden = false;
    }
  };
  button.addEventListener("click", ask);
  button.hidden = isAtOnce;
  if (isAtOnce) ask();
}

function showReasons(article, answer) {
  const reasons = article.querySelector(".reasons");
  reasons.querySelector(".seen img").src = answer.seen;
  const heat = reasons.querySelector(".heat");
  heat.hidden = answer.heat === null;
  if (answer.heat !== null) {
    heat.querySelector("img").src = answer.heat;
    heat.querySelector("img").alt = `Heat map: what speaks for ${shown(answer.class)}`;
    heat.querySelector("figcaption").textContent = `What speaks for ${shown(answer.class)}: the brighter, the more`;
  }
  const alike = reasons.querySelector(".alike");
  alike.hidden = answer.neighbours.length === 0;
  for (const one of answer.neighbours) {
    const place = document.createElement("div");
    const image = document.createElement("img");
    image.src = one.picture;
    image.alt = `Training image of ${shown(one.class)}`;
    const name = document.createElement("b");
    name.textContent = shown(one.class);
    if (one.class !== answer.class) name.className = "other";
    const similarity = document.createElement("span");
    similarity.textContent = one.similarity.toFixed(2);
    place.append(image, name, similarity);
    alike.querySelector(".row").append(place);
  }
  reasons.hidden = false;
}

$("files").addEventListener("change", (event) => { add(event.target.files); event.target.value = ""; });
document.addEventListener("paste", (event) => {
  if (event.clipboardData && event.clipboardData.files.length > 0) {
    event.preventDefault();
    add(event.clipboardData.files);
  }
});
document.addEventListener("dragover", (event) => { event.preventDefault(); document.body.classList.add("dragging"); });
document.addEventListener("dragleave", (event) => { if (event.relatedTarget === null) document.body.classList.remove("dragging"); });
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dragging");
  if (event.dataTransfer) add(event.dataTransfer.files);
});
$("clear").addEventListener("click", () => {
  results.replaceChildren();
  asked = done = failed = 0;
  $("clear").hidden = true;
  say("");
  $("files").focus();
});
