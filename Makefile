# make demo    set up everything, run the worked example, end with a report
# make test    set up everything, run the whole test suite (PYTEST_ARGS adds options)
# make setup   only set up .venv          make lint    formatter, linter, type checker
# make lock    renew requirements.lock    make clean   remove what the others made

BIN := .venv/bin
STAMP := .venv/setup.stamp
PYTEST_ARGS ?=

.PHONY: demo test setup lint lock wheel clean
.DEFAULT_GOAL := demo

demo: $(STAMP)
	@$(BIN)/python examples/digits/demo.py

test: $(STAMP)
	@$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

lint: $(STAMP)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet . || { $(BIN)/ruff format --diff .; exit 1; }
	@$(BIN)/pyright --warnings --pythonpath $(BIN)/python

setup: $(STAMP)

$(STAMP): requirements.lock pyproject.toml scripts/setup.sh
	@PYTHON="$(PYTHON)" scripts/setup.sh

lock:
	@PYTHON="$(PYTHON)" scripts/lock.sh

wheel: $(STAMP)
	@$(BIN)/python -m hatchling build -t wheel

clean:
	rm -rf .venv build dist .pytest_cache .ruff_cache .hypothesis examples/digits/build*
	find src tests examples -name __pycache__ -prune -exec rm -rf {} +
