// Opens what is folded while the page is printed, and folds it again afterwards. Answers of a quiz are
// opened by book.css: to open them here would be to answer.
(() => {
  "use strict";

  let opened = [];
  window.addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("article details:not([open], .quiz details)")];
    opened.forEach((details) => { details.open = true; });
  });
  window.addEventListener("afterprint", () => {
    opened.forEach((details) => { details.open = false; });
    opened = [];
  });
})();
