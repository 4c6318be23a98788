"use strict";
// Renews what changes of the page, but not under the hands of whoever is about to do something.
const part = document.getElementById("part");
let stale = false;
let asking = false;

function inUse() {
  const active = document.activeElement;
  return (active && active.tagName === "INPUT") || part.querySelector("details[open]") !== null;
}

async function renew() {
  if (asking || inUse()) {
    stale = true;
    return;
  }
  asking = true;
  stale = false;
  try {
    const answer = await fetch("/fleet/part", { headers: { Accept: "text/html" } });
    const text = await answer.text();
    if (answer.status === 401) location.reload();
    else if (inUse()) stale = true; // meanwhile
    else if (answer.ok) {
      const focused = document.activeElement && document.activeElement.closest("li.kiosk");
      part.innerHTML = text;
      const again = focused && document.querySelector(`#${CSS.escape(focused.id)} summary`);
      if (again) again.focus();
    }
  } catch (error) {
    stale = true; // the network is away: the stream tells when it is back
  } finally {
    asking = false;
  }
}

const stream = new EventSource("/fleet/stream");
stream.addEventListener("change", renew);
stream.addEventListener("open", renew);
// It was refused: the operator is shut out, or too many watch. The page asks by itself then.
stream.addEventListener("error", () => stream.readyState === EventSource.CLOSED && renew());
setInterval(() => stale && renew(), 1000);
setInterval(renew, 30000);
