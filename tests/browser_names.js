// Elements by the names that people and screen readers know them by.
const seen = e => e.checkVisibility ? e.checkVisibility({visibilityProperty: true}) : e.getClientRects().length;
const tidy = text => (text ?? "").replace(/\s+/g, " ").trim();
const labelled = e => (e.getAttribute("aria-labelledby") ?? "").split(" ").filter(Boolean)
  .map(id => document.getElementById(id)?.textContent).join(" ");
const nameOf = e => tidy(labelled(e) || e.getAttribute("aria-label") || e.textContent);
const captionOf = e => tidy(labelled(e) || e.getAttribute("aria-label")
  || [...e.labels ?? []].map(l => [...l.childNodes].filter(n => n !== e).map(n => n.textContent).join(" ")).join(" "));
const button = name => [...document.querySelectorAll("button, summary, [role=button], a[href]")]
  .find(e => seen(e) && nameOf(e) === name);
const field = name => [...document.querySelectorAll("input, select, textarea")]
  .find(e => seen(e) && captionOf(e).startsWith(name));
