# `make demo` and `make test` on a fresh machine: each makes the virtual
# environment first if there is none.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo demo-improv test lint docs bench fuzz kills clean

$(VENV)/installed: setup.py constraints.txt
	@$(PYTHON) -c "import sys; sys.version_info >= (3, 11) or \
		sys.exit('Python 3.11 or later is needed: make PYTHON=…')"
	@echo "Installing into $(VENV): about 6 GB, some minutes."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check \
		--constraint constraints.txt --editable ".[test]"
	touch $@

demo: $(VENV)/installed
	$(BIN)/python recipes/CREMA-D/crema_d_synthetic.py demo/corpus
	$(BIN)/python recipes/CREMA-D/train.py \
		recipes/CREMA-D/hparams/demo.yaml \
		--data_folder demo/corpus --output_folder demo/run \
		--feature_folder demo/features

demo-improv: $(VENV)/installed
	$(BIN)/python recipes/MSP-IMPROV/msp_improv_synthetic.py demo/improv_corpus
	$(BIN)/python recipes/MSP-IMPROV/train.py \
		recipes/MSP-IMPROV/hparams/auxformer_attributes_offline.yaml \
		--data_folder demo/improv_corpus --output_folder demo/improv_run \
		--feature_folder demo/features --number_of_epochs 15

# One thread a process: pytest runs as many processes as there are cores. In
# the order of the folders, or the slow files would come last, in one process.
# On the CPU, whose figures they expect, also where there is a GPU.
test: lint
	CUDA_VISIBLE_DEVICES= OMP_NUM_THREADS=1 $(BIN)/python -m pytest \
		-n auto --dist loadfile --no-loadscope-reorder

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/yamllint --strict .
	$(BIN)/lint-imports --no-logo

# The documentation, offline; a warning is an error. See docs/conf.py.
docs: $(VENV)/installed
	$(BIN)/python -m sphinx -W --keep-going -q -c docs . docs/_build/html
	@echo "documentation: docs/_build/html/index.html"

# Speed and memory beside the published network; DEVICE=cuda on a GPU.
DEVICE ?= cpu
bench: $(VENV)/installed
	@mkdir -p results
	$(BIN)/python benchmarks/networks.py --device $(DEVICE) \
		--json results/bench_$(DEVICE).json

# Damages files at random, for some minutes; of a folder with MEDIA=folder. What
# fails is kept in results/fuzz.
MINUTES ?= 10
fuzz: $(VENV)/installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/fuzz \
		--fuzz_minutes $(MINUTES) $(if $(MEDIA),--fuzz_media $(MEDIA))

# Kills training, extraction and export N times each, at random moments.
N ?= 25
kills: $(VENV)/installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/integration \
		-k at_any_moment --kills $(N)

clean:
	rm -rf demo
