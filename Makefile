# The two commands of the README: `make quickstart` and `make test`. CI runs `make test` and nothing else.

CARGO ?= cargo
# Tools that the checks need are installed below target/, in these versions.
TOOLS := target/tools
TYPOS := $(TOOLS)/typos-1.52.0
DENY := $(TOOLS)/cargo-deny-0.20.2/bin/cargo-deny

.PHONY: quickstart test fmt lint build runtime unit editor docs deny typos assets goldens fuzz clean

# One reader of untrusted bytes for as long as one likes: `make fuzz TARGET=onnx`. Needs a nightly compiler and `cargo install cargo-fuzz`.
fuzz:
	$(CARGO) +nightly fuzz run $(TARGET) fuzz/corpus/$(TARGET)

# Builds pipe, installs ONNX Runtime for this user, and shows why one fine-tunes: the MNIST network on another collection of digits as it
# is, fine-tuned on 100 examples, and trained from scratch on the same examples.
quickstart:
	$(CARGO) build --release --locked
	target/release/pipe setup
	@echo "== before: the pretrained network as it is"
	target/release/pipe run examples/quickstart/before.yaml
	@echo "== fine-tuned on 100 examples"
	target/release/pipe run examples/quickstart/spec.yaml
	@echo "== from scratch on the same 100 examples"
	target/release/pipe run examples/quickstart/scratch.yaml

test: fmt lint runtime unit docs deny typos

fmt:
	$(CARGO) fmt --check

lint:
	$(CARGO) clippy --locked --all-targets -- -D warnings

build:
	$(CARGO) build --locked

# Tests run on a real ONNX Runtime: any that is found, else the pinned one is installed. Those of tests/it/stand_in.rs load its provider for
# CUDA, on a stand-in for a GPU, which is there for Linux alone.
runtime: build
	target/debug/pipe doctor >/dev/null 2>&1 || target/debug/pipe setup
	test "$$(uname -sm)" != "Linux x86_64" || target/debug/pipe setup --cuda >/dev/null || echo "tests on the stand-in are left out"

unit: runtime
	$(CARGO) test --locked

# What a YAML language server makes of the schema; part of `unit` too. It is installed by npm below target/, in the versions of
# tests/editor/package-lock.json. Without Node.js it is skipped.
editor:
	$(CARGO) test --locked --test it editor:: -- --nocapture

docs:
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps

# Licences and sources of the dependencies. Advisories need a database from elsewhere and are not checked here.
deny: $(DENY)
	$(DENY) --locked check bans licenses sources

# About a minute on two cores.
$(DENY):
	$(CARGO) install --quiet --locked --debug --root $(@:%/bin/cargo-deny=%) cargo-deny@$(@:$(TOOLS)/cargo-deny-%/bin/cargo-deny=%)

typos: $(TYPOS)
	$(TYPOS)/bin/typos

$(TYPOS):
	python3 -m pip install --quiet --disable-pip-version-check --no-deps --target $@ typos==$(@:$(TOOLS)/typos-%=%)

# Data and models of the larger pipelines, into examples/assets/.
assets:
	python3 examples/fetch.py all

# Rewrites tests/golden/: with PyTorch and Pillow, and from tests of the ONNX project. The versions that they need are named in the scripts.
goldens:
	python3 tests/golden/make.py
	python3 tests/golden/transforms.py
	python3 tests/golden/operators.py

clean:
	$(CARGO) clean
