"use strict";
// Shows the entries whose heading or keys hold every word that is searched for; where none does, those whose text does.
const search = document.getElementById("search");
const found = document.getElementById("found");
const entries = [...document.querySelectorAll("main article")].map((article) => {
  const names = [article.querySelector("h3"), ...article.querySelectorAll("td:first-child")];
  return {
    article,
    link: document.querySelector(`nav a[href="#${CSS.escape(article.querySelector("h3").id)}"]`)?.parentElement,
    names: names.map((name) => name.textContent.toLowerCase()).join(" "),
    text: article.textContent.toLowerCase(),
  };
});
const parts = [...document.querySelectorAll("main > h1, main > h2, main > p, main > pre, main > ul, main > .wide")];

function filter() {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  const holds = (text) => words.every((word) => text.includes(word));
  const byName = entries.some((entry) => holds(entry.names));
  let count = 0;
  for (const entry of entries) {
    const shown = holds(byName ? entry.names : entry.text);
    entry.article.hidden = !shown;
    if (entry.link) entry.link.hidden = !shown;
    count += shown;
  }
  for (const part of parts) part.hidden = words.length > 0;
  for (const part of document.querySelectorAll("nav .part")) {
    const list = part.nextElementSibling;
    part.hidden = list.hidden = words.length > 0 && !list.querySelector("li:not([hidden])");
  }
  if (words.length === 0) found.value = "";
  else found.value = `${count} ${count === 1 ? "entry" : "entries"}${byName || count === 0 ? "" : " found in the text"}`;
}

search.addEventListener("input", filter);
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && document.activeElement !== search) {
    event.preventDefault();
    search.focus();
  } else if (event.key === "Escape" && document.activeElement === search) {
    search.value = "";
    filter();
  }
});
// A link into a hidden entry shows everything again.
window.addEventListener("hashchange", () => {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target?.closest("[hidden]")) {
    search.value = "";
    filter();
    target.scrollIntoView();
  }
});
if (window.matchMedia("(max-width: 52rem)").matches) document.querySelector("nav details").open = false;
filter();
