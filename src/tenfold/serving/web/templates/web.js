"use strict";

// What the page would ask a server is answered by a worker of its own; see page.js.

(() => {
  const waiting = new Map();
  let number = 0;
  let broken = "";
  let worker = null;

  const giveUp = (message) => {
    broken = message;
    document.getElementById("status").textContent = message;
    for (const { reject } of waiting.values()) reject(new Error(message));
    waiting.clear();
  };

  if (location.protocol === "file:") {
    broken = "Browsers do not let a page opened from a file read the model beside it. Hand the folder out instead, for example with: python -m http.server";
  } else {
    try {
      worker = new Worker("worker.js", { type: "module" });
      worker.addEventListener("error", () => giveUp("This browser cannot run the page, or a file of it is missing. It needs a browser of 2023 or later."));
      worker.addEventListener("message", ({ data }) => {
        if (data.broken) giveUp(data.broken);
        if (data.isReady) document.body.dataset.ready = "true";
        const asked = waiting.get(data.number);
        if (!asked) return;
        waiting.delete(data.number);
        if (data.problem) asked.reject(new Error(data.problem));
        else asked.resolve({ results: [data.result] });
      });
    } catch (error) {
      broken = `This browser cannot run the page: ${error.message}`;
    }
  }
  if (broken) document.addEventListener("DOMContentLoaded", () => giveUp(broken));

  globalThis.askNetwork = (_path, file) => new Promise((resolve, reject) => {
    if (broken) {
      reject(new Error(broken));
      return;
    }
    number += 1;
    waiting.set(number, { resolve, reject });
    worker.postMessage({ number, file });
  });
})();
