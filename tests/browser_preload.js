// In every page: errors are noted, and a pointer that a driver lacks is played by a script. An event of a script
// carries no pointer that could be captured, so that is played too.
(() => {
  const errors = window.testErrors = [];
  addEventListener("error", e => errors.push(e.message));
  addEventListener("unhandledrejection", e => errors.push(`unhandled: ${e.reason?.message ?? e.reason}`));
  document.addEventListener("securitypolicyviolation", e => errors.push(`${e.violatedDirective} ${e.blockedURI}`));
  addEventListener("pointerdown", e => { if (e.isTrusted) window.testPointer = e; }, true);
  const played = new Map(["mouse", "pen", "touch"].map((type, i) => [type, {type, id: 9000 + 1000 * i, x: 0, y: 0}]));
  const playedBy = id => [...played.values()].find(p => p.id === id), element = Element.prototype;
  const {setPointerCapture, releasePointerCapture, hasPointerCapture} = element;
  element.setPointerCapture = function (id) {
    const pointer = playedBy(id);
    if (!pointer) return setPointerCapture.call(this, id);
    pointer.captured = this;
  };
  element.releasePointerCapture = function (id) {
    const pointer = playedBy(id);
    if (!pointer) return releasePointerCapture.call(this, id);
    pointer.captured = null;
  };
  element.hasPointerCapture = function (id) {
    const pointer = playedBy(id);
    return pointer ? pointer.captured === this : hasPointerCapture.call(this, id);
  };
  const send = (name, pointer) => {
    const {x, y, id, type, down, captured} = pointer, buttons = Number(!!down);
    const target = captured ?? document.elementFromPoint(x, y) ?? document.body;
    const at = {clientX: x, clientY: y, pointerId: id, pointerType: type, button: name === "pointermove" ? -1 : 0};
    const always = {isPrimary: true, bubbles: true, cancelable: true, composed: true, buttons, pressure: buttons / 2};
    target.dispatchEvent(new PointerEvent(name, {...at, ...always}));
  };
  window.testPlay = (type, steps) => {
    const pointer = played.get(type);
    for (const [what, x, y] of steps) {
      if (what === "move") Object.assign(pointer, {x, y});
      if (what === "down") Object.assign(pointer, {down: true, id: pointer.id + 1});
      if (what !== "move" && what !== "down") pointer.down = false;
      if (what !== "move" || pointer.down || type === "pen") send(`pointer${what}`, pointer);
      if (!pointer.down && pointer.captured) {
        send("lostpointercapture", pointer);
        pointer.captured = null;
      }
    }
  };
})();
