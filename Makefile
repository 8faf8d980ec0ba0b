# make demo   train a VAE and a DCGAN on MNIST digits (KERAS_BACKEND=jax make demo)
# make test   run the short suite on each backend (make test-jax: on one)
# make test-full   run every test on each backend (make test-full-jax: on one)
# make lint   ruff

PYTHON ?= python3
KERAS_BACKEND ?= tensorflow
DEMO := .venv/demo-$(KERAS_BACKEND)
TEST := .venv/test
# Tests that share what is slow to make go to one worker.
PYTEST := $(TEST)/bin/python -m pytest -n auto --dist loadgroup
BACKENDS := tensorflow jax torch
export KERAS_BACKEND
export TF_CPP_MIN_LOG_LEVEL ?= 2

.PHONY: demo test test-full lint clean $(BACKENDS:%=test-%) $(BACKENDS:%=test-full-%)

# TensorFlow is there in every demo: `kzoo export` writes SavedModels by it.
demo: $(DEMO)/ready
	$(DEMO)/bin/python recipes/demo.py --output saved_models/demo_$(KERAS_BACKEND)

test: $(BACKENDS:%=test-%)

$(BACKENDS:%=test-%): test-%: $(TEST)/ready
	KERAS_BACKEND=$* $(PYTEST)

test-full: $(BACKENDS:%=test-full-%)

$(BACKENDS:%=test-full-%): test-full-%: $(TEST)/ready
	KERAS_BACKEND=$* $(PYTEST) --full

lint: $(TEST)/ready
	$(TEST)/bin/ruff check .
	$(TEST)/bin/ruff format --check .

$(DEMO)/ready: pyproject.toml constraints.txt
	$(call install,$(DEMO),$(KERAS_BACKEND),tensorflow)

$(TEST)/ready: pyproject.toml constraints.txt
	$(call install,$(TEST),all,test)

define install
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	    || { echo "kzoo needs Python 3.11 or newer: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(1)
	$(1)/bin/python -m pip install --quiet --disable-pip-version-check \
	    --constraint constraints.txt --editable '.[$(2),$(3)]'
	@touch $@
endef

clean:
	rm -rf .venv saved_models/demo_*
