// Marks the answers of a quiz and counts the questions answered right at the first try.
// Without this file a quiz still works: every answer opens and says whether it is right.
(() => {
  "use strict";

  const ENGLISH = {
    right: "right", wrong: "not quite", again: "Start again",
    score: (good, all) => `${good} of ${all} right at the first try`,
    said: (right) => (right ? "Right." : "Not quite."),
    left: (number) => `, ${number} still to answer.`,
  };
  const CHINESE = {
    right: "对", wrong: "不完全对", again: "重新开始",
    score: (good, all) => `${all} 题中有 ${good} 题一次答对`,
    said: (right) => (right ? "对。" : "不完全对。"),
    left: (number) => `，还有 ${number} 题未答。`,
  };
  const language = document.documentElement.lang;
  const words = language.startsWith("zh") ? CHINESE : ENGLISH;

  const made = (tag, className, text = "") => {
    const node = document.createElement(tag);
    node.className = className;
    node.textContent = text;
    node.lang = language; // what a script writes may stand in a text of another language
    return node;
  };

  const mark = (answer, right) => {
    answer.classList.add("chosen");
    answer.querySelector("summary").append(made("span", "quiz-mark", right ? ` ✓ ${words.right}` : ` ✗ ${words.wrong}`));
  };

  // A screen reader hears which question the answers belong to, and, right after an answer, how it
  // went: the focus stays on that answer, and its explanation comes next.
  const prepare = (quiz, number) => {
    const question = quiz.querySelector("strong");
    question.id ||= `quiz-question-${number + 1}`;
    quiz.setAttribute("role", "group");
    quiz.setAttribute("aria-labelledby", question.id);
    const said = made("p", "quiz-said");
    said.setAttribute("role", "status");
    quiz.append(said);
    return said;
  };

  const start = () => {
    const quizzes = [...document.querySelectorAll("div.quiz")];
    if (quizzes.length === 0) return;
    const said = quizzes.map(prepare);
    const score = made("p", "quiz-score");
    const again = made("button", "quiz-again", words.again);
    again.type = "button";
    const result = made("div", "quiz-result");
    result.hidden = true;
    result.append(score, again);
    quizzes.at(-1).after(result);

    const firstTries = new Map();
    const tell = () => {
      const good = [...firstTries.values()].filter(Boolean).length;
      const left = quizzes.length - firstTries.size;
      score.textContent = words.score(good, quizzes.length);
      result.hidden = firstTries.size === 0;
      return `${score.textContent}${left ? words.left(left) : ""}`;
    };

    quizzes.forEach((quiz, number) => {
      quiz.querySelectorAll("details.right, details.wrong").forEach((answer) => {
        answer.addEventListener("toggle", () => {
          if (!answer.open || answer.classList.contains("chosen")) return;
          const right = answer.classList.contains("right");
          mark(answer, right);
          if (!firstTries.has(quiz)) firstTries.set(quiz, right);
          said[number].textContent = `${words.said(right)} ${tell()}`;
        });
      });
    });

    again.addEventListener("click", () => {
      firstTries.clear();
      quizzes.forEach((quiz, number) => {
        quiz.querySelectorAll("details").forEach((answer) => {
          answer.open = false;
          answer.classList.remove("chosen");
          answer.querySelector(".quiz-mark")?.remove();
        });
        said[number].textContent = "";
      });
      tell();
      quizzes[0].querySelector("summary").focus(); // the button that had the focus is gone
    });
  };

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
