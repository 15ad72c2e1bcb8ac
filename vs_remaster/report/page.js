"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const compare = document.getElementById("compare");
  if (!compare) return;
  const cut = document.getElementById("cut");
  const move = () => compare.style.setProperty("--cut", cut.value + "%");
  cut.addEventListener("input", move);
  move();

  const buttons = [...document.querySelectorAll(".strip button:not(:disabled)")];
  const ofShots = [...document.querySelectorAll("#shots button:not(:disabled)")];
  let shown = null;

  function show(button) {
    const frame = Number(button.dataset.frame);
    const shot = Number(button.dataset.shot);
    const name = String(frame).padStart(6, "0");
    for (const kind of ["before", "after"]) {
      const image = document.getElementById(kind);
      image.src = `${data.folder}/${kind}_${name}.jpg`;
      image.alt = `Frame ${frame} ${kind}`;
    }
    for (const other of buttons) other.removeAttribute("aria-current");
    button.setAttribute("aria-current", "true");
    document.getElementById("name").textContent = `Shot ${shot}, frame ${frame}`;
    const [start, length, told] = data.shots[shot - 1];
    const list = document.getElementById("facts");
    list.replaceChildren();
    data.names.forEach((label, i) => {
      for (const [tag, text] of [["dt", label], ["dd", told[i]]]) {
        const cell = document.createElement(tag);
        cell.textContent = text;
        list.append(cell);
      }
    });
    for (const band of document.querySelectorAll(".now")) {
      band.setAttribute("x", 1000 * start);
      band.setAttribute("width", 1000 * length);
    }
    shown = shot;
  }

  function turn(step) {
    const numbers = ofShots.map((button) => Number(button.dataset.shot));
    const next = step > 0 ? numbers.findIndex((n) => n > shown) : numbers.findLastIndex((n) => n < shown);
    if (next < 0) return;
    show(ofShots[next]);
    ofShots[next].scrollIntoView({ block: "nearest", inline: "center" });
  }

  for (const button of buttons) button.addEventListener("click", () => show(button));
  document.getElementById("back").addEventListener("click", () => turn(-1));
  document.getElementById("on").addEventListener("click", () => turn(1));
  show(ofShots[0] || buttons[0]);
})();
