# Every target is a line that also works by itself, with Python alone: see book/setup.md.
PYTHON ?= python3
RUN := $(PYTHON) book/tools/env.py

.DEFAULT_GOAL := help
.PHONY: help book pdf test lab doctor rehearse slides lint chinese catalogues results benchmark references lock address student teacher workshop wheels clean

help: ## list these commands
	@sed -n 's/^\([a-z]*\):.*## /make \1\t/p' Makefile | expand -t 17

book: ## run the chapters that need it, build the pages, say where they are
	@$(RUN) book/tools/build.py

pdf: ## print the whole book, as the pages show it, to one PDF
	@$(RUN) book/tools/pdf.py

test: ## run every check: style, types, helpers, chapters, pages
	@$(RUN) book/tools/check.py

lab: ## open the chapters in JupyterLab
	@$(RUN) -m jupyterlab notebooks

doctor: ## say whether everything is there that the chapters need
	@$(RUN) -m medxfer_utils

rehearse: ## try all chapters with small sizes, as before a workshop
	@$(RUN) book/tools/build.py --profile fast

slides: ## make slides for teaching from the tagged cells of each chapter
	@$(RUN) book/tools/slides.py

lint: ## check style and types only
	@$(RUN) book/tools/check.py format lint types

chinese: ## build the Chinese edition
	@$(RUN) book/tools/chinese.py pages

catalogues: ## bring what is to be translated into Chinese up to today's text
	@$(RUN) book/tools/chinese.py catalogues

results: ## compute the stored results in book/results anew (long)
	@$(RUN) book/tools/scripts.py book/results

benchmark: ## compare speed and accuracy with other libraries
	@$(RUN) book/tools/scripts.py benchmarks

references: ## ask whether the addresses in the bibliography answer (needs a network)
	@$(RUN) book/tools/references_check.py

lock: ## choose the newest versions that pyproject.toml allows, and write their hashes
	@$(RUN) book/tools/lock.py

address: ## write the address of the repository wherever it stands: make address URL=https://…
	@$(RUN) book/tools/address.py $(URL)

student: ## make the notebooks for students: exercises, no solutions
	@$(RUN) book/tools/editions.py student

teacher: ## make the notebooks for teachers: outputs, solutions, notes, times
	@$(RUN) book/tools/editions.py teacher

workshop: ## pack the students' notebooks, and all they need, into one file
	@$(RUN) book/tools/workshop.py

wheels: ## fetch what a workshop installs, for a class without a network
	@$(RUN) book/tools/wheels.py

clean: ## remove everything generated, the environment too
	rm -rf _build .venv
