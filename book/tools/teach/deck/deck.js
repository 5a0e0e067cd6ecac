// Light or dark, upright or wide, type as large as fits, and the start of reveal.js once the formulas are drawn.
(() => {
  "use strict";

  const root = document.documentElement;
  const memory = "slides-theme";
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const remembered = () => {
    if (location.search.includes("print-pdf")) return "light";
    try { return localStorage.getItem(memory); } catch { return null; } // storage is forbidden
  };
  const paint = () => { root.dataset.theme = remembered() ?? (dark.matches ? "dark" : "light"); };
  const turn = () => {
    root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
    try { localStorage.setItem(memory, root.dataset.theme); } catch { /* for this page only */ }
  };
  paint();
  dark.addEventListener("change", paint);
  window.addEventListener("storage", paint); // the window of the speaker follows
  if (!window.Reveal) return; // the list of the decks

  const upright = window.matchMedia("(max-aspect-ratio: 4/5)");
  const size = () => {
    root.classList.toggle("upright", upright.matches);
    return upright.matches ? { width: 660, height: 1280 } : { width: 1280, height: 720 };
  };

  // Each slide gets the largest type in which nothing sticks out of it.
  const LARGEST = 36, SMALLEST = 12;
  const sticksOut = (part) => part.scrollWidth > part.clientWidth || part.scrollHeight > part.clientHeight;
  const fit = () => {
    let left = [...document.querySelectorAll(".slide")];
    root.classList.add("measuring");
    for (let px = LARGEST; left.length && px >= SMALLEST; px -= 1) {
      left.forEach((slide) => slide.style.setProperty("--size", `${px}px`));
      left = left.filter((slide) => [slide, ...slide.querySelectorAll("pre, figure")].some(sticksOut));
    }
    root.classList.remove("measuring");
  };

  const start = () => {
    // The window of the speaker takes over the notes, but not the style that hides this copy.
    document.querySelectorAll("aside.notes mjx-assistive-mml").forEach((copy) => copy.remove());
    const shape = size();
    fit();
    Reveal.initialize({
      ...shape,
      margin: 0,
      minScale: 0.1,
      maxScale: 4,
      center: false,
      hash: true,
      slideNumber: "c/t",
      controlsTutorial: false,
      transition: "none",
      backgroundTransition: "none",
      scrollActivationWidth: null,
      pdfSeparateFragments: false,
      plugins: [RevealNotes],
    });
    Reveal.addKeyBinding({ keyCode: 68, key: "D", description: "Dark or light" }, turn);
    upright.addEventListener("change", () => { Reveal.configure(size()); fit(); });
  };

  if (document.querySelector("main.formulas")) {
    window.MathJax = {
      options: { enableMenu: false },
      tex: { inlineMath: [["$", "$"]] },
      svg: { fontCache: "local" }, // so that a formula can be copied into the window of the speaker
      startup: {
        ready: () => { MathJax.startup.defaultReady(); MathJax.startup.promise.then(start); },
      },
    };
  } else start();
})();
