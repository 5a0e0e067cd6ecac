// Marks the answers of a quiz and counts the questions answered right at the first try.
// Without this file a quiz still works: every answer opens and says whether it is right.
(() => {
  "use strict";

  const chinese = document.documentElement.lang.startsWith("zh");
  const words = chinese
    ? { right: "对", wrong: "不完全对", score: (good, all) => `${all} 题中有 ${good} 题一次答对` }
    : { right: "right", wrong: "not quite", score: (good, all) => `${good} of ${all} right at the first try` };

  const mark = (answer) => {
    const right = answer.classList.contains("right");
    answer.classList.add("chosen");
    const sign = document.createElement("span");
    sign.className = "quiz-mark";
    sign.lang = document.documentElement.lang;
    sign.textContent = right ? ` ✓ ${words.right}` : ` ✗ ${words.wrong}`;
    answer.querySelector("summary").append(sign);
    return right;
  };

  const start = () => {
    const quizzes = [...document.querySelectorAll("div.quiz")];
    if (quizzes.length === 0) return;
    const score = document.createElement("p");
    score.className = "quiz-score";
    score.lang = document.documentElement.lang;
    score.setAttribute("role", "status");
    quizzes.at(-1).append(score);

    const firstTries = new Map();
    quizzes.forEach((quiz) => {
      quiz.querySelectorAll("details.right, details.wrong").forEach((answer) => {
        answer.addEventListener("toggle", () => {
          if (!answer.open || answer.classList.contains("chosen")) return;
          const right = mark(answer);
          if (!firstTries.has(quiz)) firstTries.set(quiz, right);
          const good = [...firstTries.values()].filter(Boolean).length;
          score.textContent = words.score(good, quizzes.length);
        });
      });
    });
  };

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
