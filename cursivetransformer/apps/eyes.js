"use strict";
// Pairs of lines, one of them a person's and one a model's: click which is the person's. The block of data holds
//   {key: a name for this very page, box: [x, y, width, height] of every line, mm,
//    pairs: [{text, person: path data, model: path data}]}
// What was answered is kept in this browser only, under the key, so that a reload goes on where one was.

const data = JSON.parse(document.getElementById("data").textContent);
const count = data.pairs.length;
const store = `cursive-eyes-${data.key}`;
const part = Object.fromEntries(
  ["play", "where", "bar", "first", "second", "back", "result", "title", "figures", "meaning", "pairs", "again"]
    .map(id => [id, document.getElementById(id)]));

// A number below `n`, by a generator that nobody can foresee.
function chance(n) {
  const limit = Math.floor(2 ** 32 / n) * n;
  const [number] = crypto.getRandomValues(new Uint32Array(1));
  return number < limit ? number % n : chance(n);
}

// A new round: the pairs in some order, which line of each comes first, and nothing answered.
function begin() {
  const order = data.pairs.map((_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const j = chance(i + 1);
    [order[i], order[j]] = [order[j], order[i]];
  }
  return { order, personFirst: order.map(() => chance(2) === 1), answers: [] };
}

// What was kept, if it is a round of this page.
function kept() {
  try {
    const state = JSON.parse(localStorage.getItem(store));
    const { order, personFirst, answers } = state;
    const whole = [...order].sort((a, b) => a - b).every((number, i) => number === i) && order.length === count;
    const fits = personFirst.length === count && answers.length <= count;
    return whole && fits && [...personFirst, ...answers].every(x => typeof x === "boolean") ? state : null;
  } catch {
    return null; // nothing was, or not by us, or this browser keeps nothing
  }
}
function keep() {
  try {
    localStorage.setItem(store, JSON.stringify(state));
  } catch {
    // Then a reload begins anew, and that is all.
  }
}

function drawing(path) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("viewBox", data.box.join(" "));
  svg.setAttribute("aria-hidden", "true");
  const line = document.createElementNS(space, "path");
  line.setAttribute("d", path);
  svg.append(line);
  return svg;
}
function element(tag, text, className = "") {
  const it = document.createElement(tag);
  it.textContent = text;
  it.className = className;
  return it;
}

// Wilson's interval of a share, with 95 % confidence.
function wilson(right, of) {
  const z = 1.959964, share = right / of, wide = 1 + z * z / of;
  const middle = (share + z * z / (2 * of)) / wide;
  const half = z * Math.sqrt(share * (1 - share) / of + (z / (2 * of)) ** 2) / wide;
  return [Math.max(0, middle - half), Math.min(1, middle + half)];
}
const percent = share => `${Math.round(100 * share)} %`;

function showPair() {
  const number = state.answers.length;
  const pair = data.pairs[state.order[number]];
  const lines = [pair.person, pair.model];
  if (!state.personFirst[number]) lines.reverse();
  [part.first, part.second].forEach((button, i) => button.lastElementChild.replaceWith(drawing(lines[i])));
  part.where.textContent = `Pair ${number + 1} of ${count}`;
  part.bar.value = number;
  part.back.disabled = number === 0;
}

function meaning(low, high) {
  if (low > .5) return "Guessing gives 50 %. You can tell them apart.";
  if (high < .5) return "Guessing gives 50 %. You take the model's lines for the real ones.";
  return `Guessing gives 50 %, which lies in the interval: ${count} pairs do not show that you can tell them apart.`;
}
function showResult() {
  const right = state.answers.filter(answer => answer).length;
  const [low, high] = wilson(right, count);
  part.figures.textContent = `${right} of ${count} right: ${percent(right / count)}, `
    + `between ${percent(low)} and ${percent(high)}`;
  part.meaning.textContent = meaning(low, high);
  part.pairs.replaceChildren(...state.order.map((number, i) => {
    const pair = data.pairs[number];
    const item = element("li", "", state.answers[i] ? "right" : "");
    const said = state.answers[i] ? "You were right." : "You took the model's for real.";
    item.append(
      element("p", pair.text, "text"), element("p", said, "quiet"),
      element("p", "real", "quiet"), drawing(pair.person), element("p", "the model's", "quiet"), drawing(pair.model));
    return item;
  }));
}

function show() {
  const over = state.answers.length === count;
  part.play.hidden = over;
  part.result.hidden = !over;
  if (over) showResult();
  else showPair();
}
function answer(line) {
  const number = state.answers.length;
  if (number === count) return;
  state.answers.push(state.personFirst[number] === (line === 0));
  keep();
  show();
  if (state.answers.length === count) {
    part.title.focus();
    scrollTo(0, 0);
  }
}
function back() {
  if (state.answers.length === 0 || state.answers.length === count) return;
  state.answers.pop();
  keep();
  show();
  if (part.back.disabled) part.first.focus();
}

let state = kept() ?? begin();
keep();
part.bar.max = count;
part.first.addEventListener("click", () => answer(0));
part.second.addEventListener("click", () => answer(1));
part.back.addEventListener("click", back);
part.again.addEventListener("click", () => {
  state = begin();
  keep();
  show();
  part.first.focus();
});
addEventListener("keydown", event => {
  if (event.repeat || event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.key === "1" || event.key === "2") answer(event.key - 1);
  if (event.key === "Backspace") back();
});
show();
