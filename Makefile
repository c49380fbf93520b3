# The two commands of the README: `make quickstart` and `make test`. CI runs `make test` and nothing else.

CARGO ?= cargo
TOOLS := target/tools
export PATH := $(CURDIR)/$(TOOLS)/bin:$(PATH)

.PHONY: quickstart test fmt lint build runtime unit docs deny typos tools assets goldens clean

# Builds pipe, installs ONNX Runtime for this user, fine-tunes a small network on 8×8 digits.
quickstart:
	$(CARGO) build --release --locked
	target/release/pipe setup
	target/release/pipe run examples/quickstart/spec.yaml

test: fmt lint runtime unit docs deny typos

fmt:
	$(CARGO) fmt --check

lint:
	$(CARGO) clippy --locked --all-targets -- -D warnings

build:
	$(CARGO) build --locked

# Tests run on a real ONNX Runtime: any that is found, else the pinned one is installed.
runtime: build
	target/debug/pipe doctor >/dev/null 2>&1 || target/debug/pipe setup

unit: runtime
	$(CARGO) test --locked

docs:
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps

# The next two need tools that `make tools` installs below target/; without them they say so and pass.
deny:
	@if cargo-deny --version >/dev/null 2>&1; then \
		cargo-deny --locked --offline check bans licenses sources; \
	else echo "cargo-deny is not installed (make tools): licences and sources were not checked"; fi

typos:
	@if command -v typos >/dev/null 2>&1; then typos; \
	else echo "typos is not installed (make tools): spelling was not checked"; fi

tools:
	command -v cargo-deny >/dev/null 2>&1 || $(CARGO) install --locked --root $(TOOLS) cargo-deny
	command -v typos >/dev/null 2>&1 || $(CARGO) install --locked --root $(TOOLS) typos-cli

# Data and models of the larger pipelines, into examples/assets/.
assets:
	python3 examples/fetch.py all

# Rewrites tests/golden/ with PyTorch; the versions it needs are named in the script.
goldens:
	python3 tests/golden/make.py

clean:
	$(CARGO) clean
