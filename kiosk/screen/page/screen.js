"use strict";
// The page shows what it is sent, as text and nothing else.
const AGAIN_MS = 1000;
const [headline, asked, said] = ["headline", "asked", "said"].map((id) => document.getElementById(id));
// A long text comes at once, and is spoken in its time: what is spoken now is in view.
const CHARACTERS_PER_S = 14;
const FOLLOW_MS = 500;
let begunAt = 0;
const handout = document.getElementById("handout");
let drawn = null;

function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// Dark on light with a border of four modules, as readers want it.
function draw(view) {
  put(handout.querySelector("figcaption"), view.take_along);
  if (drawn === view.code) return;
  drawn = view.code;
  const rows = view.code.split("\n");
  const svg = handout.querySelector("svg");
  const path = document.createElementNS(svg.namespaceURI, "path");
  const dark = rows.flatMap((row, y) => [...row].map((bit, x) => (bit === "1" ? `M${x} ${y}h1v1h-1z` : "")));
  path.setAttribute("d", dark.join(""));
  svg.setAttribute("viewBox", `-4 -4 ${rows.length + 8} ${rows.length + 8}`);
  svg.setAttribute("aria-label", view.take_along);
  svg.replaceChildren(path);
  handout.hidden = view.code === "";
}

function show(view) {
  document.documentElement.lang = view.language;
  document.body.dataset.mode = view.mode;
  put(headline, view.headline);
  put(asked, view.asked);
  const goesOn = said.textContent !== "" && view.said.startsWith(said.textContent);
  const begins = view.speaks === "agent" && document.body.dataset.speaks !== "agent";
  if (begins || !goesOn) begunAt = Date.now();
  put(said, view.said);
  follow();
  document.body.dataset.speaks = view.speaks;
  draw(view);
}

function follow() {
  const spoken = ((Date.now() - begunAt) / 1000) * CHARACTERS_PER_S;
  const share = Math.min(1, spoken / Math.max(1, said.textContent.length));
  said.scrollTop = share * said.scrollHeight - 0.6 * said.clientHeight;
}

function connect() {
  const socket = new WebSocket(`ws://${location.host}/view`);
  socket.onmessage = (message) => show(JSON.parse(message.data));
  socket.onclose = () => {
    document.body.dataset.mode = "away";
    draw({ code: "", take_along: "" });
    for (const element of [headline, asked, said]) put(element, element === headline ? "…" : "");
    setTimeout(connect, AGAIN_MS);
  };
}

setInterval(follow, FOLLOW_MS);
connect();
