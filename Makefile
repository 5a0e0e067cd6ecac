# Every target is a line that also works by itself, with Python alone: see book/setup.md.
PYTHON ?= python3
RUN := $(PYTHON) book/tools/env.py

.DEFAULT_GOAL := help
.PHONY: help book pdf test lab doctor rehearse slides lint chinese catalogues results benchmark references lock address student teacher workshop wheels clean

help: ## list these commands
	@sed -n 's/^\([a-z]*\):.*## /make \1\t/p' Makefile | expand -t 17

book: ## run the lessons that need it, build the pages, say where they are
	@$(RUN) -m book.tools.build

pdf: ## print the whole book, as the pages show it, to one PDF
	@$(RUN) -m book.tools.pages.pdf

test: ## run every check that is due: style, types, helpers, lessons, pages (ALL=1: all of them)
	@$(RUN) -m book.tools.check

lab: ## open the lessons in JupyterLab
	@$(RUN) -m jupyterlab notebooks

doctor: ## say whether everything is there that the lessons need
	@$(RUN) -m medxfer_utils

rehearse: ## try all lessons with small sizes, as before a workshop
	@$(RUN) -m book.tools.build --profile fast

slides: ## make slides for teaching from the tagged cells of each lesson
	@$(RUN) -m book.tools.teach slides

lint: ## check style and types only
	@$(RUN) -m book.tools.check format lint types

chinese: ## build the Chinese edition
	@$(RUN) -m book.tools.pages.chinese pages

catalogues: ## bring what is to be translated into Chinese up to today's text
	@$(RUN) -m book.tools.pages.chinese catalogues

results: ## compute the stored results in book/results anew (long)
	@$(RUN) -m book.studies

benchmark: ## compare speed and accuracy with other libraries
	@$(RUN) -m book.tools.scripts benchmarks

references: ## ask whether the addresses on all pages answer (needs a network)
	@$(RUN) -m book.tools.pages.references

lock: ## choose the newest versions that pyproject.toml allows, and write their hashes
	@$(RUN) -m book.tools.lock

address: ## write the address of the repository wherever it stands: make address URL=https://…
	@$(RUN) -m book.tools.pages.address $(URL)

student: ## make the notebooks for students: exercises, no solutions
	@$(RUN) -m book.tools.teach student

teacher: ## make the notebooks for teachers: outputs, solutions, notes, times
	@$(RUN) -m book.tools.teach teacher

workshop: ## pack the students' notebooks, and all they need, into one file
	@$(RUN) -m book.tools.teach workshop

wheels: ## fetch what a workshop installs, for a class without a network
	@$(RUN) -m book.tools.teach wheels

clean: ## remove everything generated, the environment too
	rm -rf _build .venv
