# Every target is a line that also works by itself, with Python alone: see book/setup.md.
PYTHON ?= python3
RUN := $(PYTHON) book/tools/env.py

.DEFAULT_GOAL := help
.PHONY: help book pdf test lab rehearse lint results benchmark lock clean

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

rehearse: ## try all chapters with small sizes, as before a workshop
	@$(RUN) book/tools/build.py --profile fast

lint: ## check style and types only
	@$(RUN) book/tools/check.py format lint types

results: ## compute the stored results in book/results anew (long)
	@$(RUN) book/tools/scripts.py book/results

benchmark: ## compare speed and accuracy with other libraries
	@$(RUN) book/tools/scripts.py benchmarks

lock: ## choose the newest versions that pyproject.toml allows, and write their hashes
	@$(RUN) book/tools/lock.py

clean: ## remove everything generated, the environment too
	rm -rf _build .venv
