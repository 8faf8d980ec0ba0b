# make demo   train a VAE and a DCGAN on the embedded digits (KERAS_BACKEND=jax make demo)
# make test   run the whole suite on each backend
# make lint   ruff

PYTHON ?= python3
KERAS_BACKEND ?= tensorflow
DEMO := .venv/demo-$(KERAS_BACKEND)
TEST := .venv/test
BACKENDS := tensorflow jax torch
export KERAS_BACKEND
export TF_CPP_MIN_LOG_LEVEL ?= 2

.PHONY: demo test lint clean $(BACKENDS:%=test-%)

# TensorFlow is there in every demo: it writes the SavedModels.
demo: $(DEMO)/ready
	$(DEMO)/bin/python recipes/vae.py --output saved_models/demo_vae_$(KERAS_BACKEND) --resume
	$(DEMO)/bin/python recipes/dcgan.py --output saved_models/demo_dcgan_$(KERAS_BACKEND) --resume

test: $(BACKENDS:%=test-%)

$(BACKENDS:%=test-%): test-%: $(TEST)/ready
	KERAS_BACKEND=$* $(TEST)/bin/python -m pytest -n auto

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
