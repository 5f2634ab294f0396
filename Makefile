# leat — the front door. `make` lists what there is; everything else is done by meson and the programs in tools/.

prefix   ?= /usr/local
DESTDIR  ?=
BUILD    ?= build
SECONDS  ?= 60
PYTHON   := /usr/bin/python3

.DEFAULT_GOAL := help
# Targets stand in order (setup before build), so several at once are not made at once.
.NOTPARALLEL:
.PHONY: help setup build check demo install bench soak fuzz format clean

help: ## list what can be made
	@echo 'make TARGET, where TARGET is one of'
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  \1|\2/p' Makefile | while IFS='|' read -r t d; do printf '  %-10s %s\n' "$$t" "$$d"; done

setup: ## install what build and tests need (apt-get), fetch the other PostgreSQL majors
	@tools/setup

build: ## build leat into build/leat (installs nothing)
	@tools/build $(BUILD)

check: setup ## everything that must hold: build, rules of the house, units, sanitizers, fuzz corpora, scenarios
	@$(PYTHON) tools/check

demo: setup build ## the main job in about two minutes: PostgreSQL 13 to 17, live, compared at the end
	@tools/demo

install: build ## install below $(DESTDIR)$(prefix)
	meson configure $(BUILD) -Dprefix=$(abspath $(prefix))
	meson install -C $(BUILD) --destdir "$(DESTDIR)"

bench: setup build ## measure against pgcopydb, a bare COPY pipe and native subscriptions, into bench/results
	@bench/run

soak: setup build ## the scenarios that take long: kills at random instants under load, again and again
	$(PYTHON) -m pytest tests/scenarios -m "soak or slow"

fuzz: setup ## fuzz every decoder with libFuzzer, each for SECONDS (60)
	@$(PYTHON) tools/fuzz --seconds $(SECONDS)

format: ## bring the C lines changed since the last commit into the house style (clang-format 14)
	git clang-format-14 --quiet --force --extensions c,h

clean: ## remove what was built; the fetched servers in .cache stay
	rm -rf build build-*
