# Short names for `python3 tasks.py ...`, which says what each does.
PYTHON ?= python3

.PHONY: demo test exhaustive lint docs site conformance bench clean
demo test exhaustive lint docs site conformance bench clean:
	@$(PYTHON) tasks.py $@
