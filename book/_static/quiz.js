// Marks the answers of a quiz and counts the questions answered right at the first try.
// Without this file a quiz still works: every answer opens and says whether it is right.
(() => {
  "use strict";

  const made = (tag, className, text = "") => {
    const node = document.createElement(tag);
    node.className = className;
    node.textContent = text;
    return node;
  };

  const mark = (answer, right) => {
    answer.classList.add("chosen");
    answer.querySelector("summary").append(made("span", "quiz-mark", right ? " ✓ right" : " ✗ not quite"));
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
    const again = made("button", "quiz-again", "Start again");
    again.type = "button";
    const result = made("div", "quiz-result");
    result.hidden = true;
    result.append(score, again);
    quizzes.at(-1).after(result);

    const firstTries = new Map();
    const tell = () => {
      const good = [...firstTries.values()].filter(Boolean).length;
      const left = quizzes.length - firstTries.size;
      score.textContent = `${good} of ${quizzes.length} right at the first try`;
      result.hidden = firstTries.size === 0;
      return `${score.textContent}${left ? `, ${left} still to answer` : ""}.`;
    };

    quizzes.forEach((quiz, number) => {
      quiz.querySelectorAll("details.right, details.wrong").forEach((answer) => {
        answer.addEventListener("toggle", () => {
          if (!answer.open || answer.classList.contains("chosen")) return;
          const right = answer.classList.contains("right");
          mark(answer, right);
          if (!firstTries.has(quiz)) firstTries.set(quiz, right);
          said[number].textContent = `${right ? "Right." : "Not quite."} ${tell()}`;
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
