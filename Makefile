# The commands of the house. CI runs the same ones (.ci/run calls lint and test).
# What a target needs is installed or asked for by the scripts in tests/setup/.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

# Tools that this Makefile installs stay in the project. The same version of
# wasm-bindgen stands in sdk-wasm/Cargo.toml; `make versions` compares the two.
WASM_BINDGEN_VERSION := 0.2.130
TOOLS := $(CURDIR)/.cache/tools
export PATH := $(TOOLS)/bin:$(PATH)
export WASM_BINDGEN_VERSION TOOLS

SETUP := tests/setup
CONFORMANCE := tests/conformance
GO_PEER := $(CONFORMANCE)/go-server
HAVE_GO := $(shell command -v go)

# In the order in which they run: the quick ones first.
SUITES := rust wasm js js-pages conformance-server conformance-cent conformance-npm conformance-native proxies packaging browser
ifneq ($(HAVE_GO),)
SUITES += conformance-peer
else
ABSENT += conformance-peer, and conformance-npm and -native against it (go is not installed, so the Centrifuge peer cannot be built).
endif
ifneq ($(shell pkg-config --exists openssl 2>/dev/null && echo yes),)
SUITES += tls
else
ABSENT += tls (the headers of OpenSSL are not installed, Debian's libssl-dev and pkg-config).
endif
export ABSENT

##@ For everyone

.PHONY: help
help: ## list the targets
	@awk -f $(SETUP)/help.awk $(MAKEFILE_LIST)

.PHONY: test
test: setup-rust setup-node setup-debian ## install what the tests need, run every suite, weigh the npm package
	@$(SETUP)/suites.sh $(SUITES)
	@$(MAKE) size

.PHONY: demo redis-demo backend-demo
demo: demo-programs ## the chat on one address with server and bots, everything built; PORT=8000
	@exec node examples/demo.js $(if $(PORT),--port $(PORT))
redis-demo: setup-redis demo-programs ## the same on two servers that share a Redis of their own
	@exec node examples/demo.js --redis $(if $(PORT),--port $(PORT))
backend-demo: demo-programs ## the chat beside a backend where people log in; BACKEND=node or rust
	@exec node examples/demo.js --backend $(or $(BACKEND),node) $(if $(PORT),--port $(PORT))

.PHONY: lint
lint: setup-rust lint-rust lint-shell lint-js ## formatting, clippy, the wasm target, shell scripts, TypeScript

.PHONY: bench
bench: setup-rust setup-debian $(if $(HAVE_GO),go-peer) ## measure memory, processor time and latency beside a floor and the Centrifuge peer
	cargo build --release -p homing-server -p homing-tests --bin homing-server --bin homing-bench --bin homing-bench-floor
	ulimit -S -n "$$(ulimit -H -n)" && target/release/homing-bench --floor target/release/homing-bench-floor \
		--homing target/release/homing-server --homing-config $(CONFORMANCE)/homing.toml \
		--outbox-config tests/bench/outbox.toml \
		$(if $(HAVE_GO),--go target/go-peer)
	@$(MAKE) bench-client

##@ Single suites and steps

.PHONY: setup-rust setup-node setup-debian setup-redis setup-wasm
setup-rust: ## check the Rust toolchain named in rust-toolchain.toml
	@$(SETUP)/rust.sh
setup-node: ## check Node
	@$(SETUP)/node.sh
setup-debian: ## install Redis, Chromium and its driver where they are missing
	@$(SETUP)/debian.sh
setup-redis:
	@$(SETUP)/debian.sh redis-server
setup-wasm: setup-rust ## install the pinned wasm-bindgen into .cache/tools
	@$(SETUP)/wasm-bindgen.sh

.PHONY: versions
versions: ## print and compare the versions that must agree
	@$(SETUP)/versions.sh

.PHONY: test-rust
test-rust: setup-rust setup-debian ## cargo tests of the workspace, with a Redis that the tests start
	cargo test --workspace --no-fail-fast

.PHONY: test-tls
test-tls: setup-rust ## the Rust client's TLS with each set of features (needs the headers of OpenSSL)
	cargo test -p homing --no-default-features --test tls
	cargo test -p homing --no-default-features --features native-tls --test tls
	cargo test -p homing --features native-tls,native-certs --test tls

.PHONY: test-conformance-server test-conformance-cent test-conformance-peer test-conformance-npm test-conformance-native conformance-tools
test-conformance-server: conformance-tools ## the official client against Homing's server
	$(AGAINST_HOMING) node --test $(CONFORMANCE)/official-client/*.test.mjs

test-conformance-cent: setup-rust setup-redis ## the API's official Python client, in memory, on Redis and on two nodes
	@$(SETUP)/python.sh $(CONFORMANCE)/cent
	cargo build -p homing-server
	target/python/cent/bin/python $(CONFORMANCE)/cent/run.py

test-conformance-peer: conformance-tools go-peer ## the official client against the Go peer (needs go)
	$(AGAINST_GO) node --test $(CONFORMANCE)/official-client/*.test.mjs

test-conformance-npm: conformance-tools build-js setup-redis $(if $(HAVE_GO),go-peer) ## the npm package against both servers, and what must not be lost on Redis, too
	$(AGAINST_HOMING) node --test $(CONFORMANCE)/npm-client/*.test.mjs
	HOMING_PEER_REDIS=1 $(AGAINST_HOMING) node --test $(addprefix $(CONFORMANCE)/npm-client/,$(addsuffix .test.mjs,$(LASTING)))
	$(if $(HAVE_GO),$(AGAINST_GO) node --test $(CONFORMANCE)/npm-client/*.test.mjs)

test-conformance-native: setup-rust $(if $(HAVE_GO),go-peer) ## the Rust client against both servers
	cargo build -p homing-tests --bin homing-peer
	$(AGAINST_HOMING) cargo test -p homing-tests --test native
	$(if $(HAVE_GO),$(AGAINST_GO) cargo test -p homing-tests --test native)

.PHONY: test-proxies
test-proxies: conformance-tools build-js ## every transport through the nginx and Caddy files of docs/proxies
	proxies=$$($(SETUP)/proxies.sh) && PATH="$$PATH:$$proxies" $(AGAINST_HOMING) node --test $(CONFORMANCE)/proxies/*.test.mjs

LASTING := recovery outbox storage echo durable
conformance-tools: setup-rust setup-node
	@$(SETUP)/npm.sh $(CONFORMANCE)
	cargo build -p homing-tests --bin fault-proxy --bin homing-peer

PROXY := HOMING_FAULT_PROXY=$(CURDIR)/target/debug/fault-proxy
AGAINST_GO := $(PROXY) HOMING_PEER=$(CURDIR)/target/go-peer HOMING_PEER_PLAIN=1
AGAINST_HOMING := $(PROXY) HOMING_PEER=$(CURDIR)/target/debug/homing-peer

.PHONY: test-browser
test-browser: setup-debian demo-programs ## pages that crash, reload and share a storage; the chat and the bots end to end; both demos
	@$(SETUP)/npm.sh tests/browser
	cargo build -p homing-tests --bin fault-proxy
	node --test tests/browser/*.test.mjs

.PHONY: test-page-under-faults
test-page-under-faults: setup-debian demo-programs ## one page in Chromium under every fault; SOAK_SECONDS, HOMING_SEED
	@$(SETUP)/npm.sh tests/browser
	cargo build -p homing-tests --bin fault-proxy
	node --test tests/browser/faults.test.mjs

.PHONY: test-js
test-js: build-js ## the npm package in Node, on real sockets
	cd js && node --test test/*.test.mjs

.PHONY: test-js-pages
test-js-pages: build-js setup-debian ## the npm package in pages that are hidden, frozen, cached and offline
	cd js && node --test test/browser/*.test.mjs

.PHONY: test-wasm
test-wasm: setup-wasm setup-debian ## the browser host in headless Chromium
	cd sdk-wasm && CHROMEDRIVER=/usr/bin/chromedriver \
		CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER=wasm-bindgen-test-runner \
		cargo test --target wasm32-unknown-unknown --test browser

.PHONY: test-packaging
test-packaging: setup-debian setup-rust package ## the packed npm package in pages, bundlers, Node and TypeScript
	@$(SETUP)/npm.sh tests/packaging tests/browser
	cargo build -p homing-server
	node --test tests/packaging/*.test.mjs

.PHONY: go-peer
go-peer: ## build the Centrifuge server that tests and benchmarks compare with
	@mkdir -p target
	cd $(GO_PEER) && go vet ./... && go build -o $(CURDIR)/target/go-peer .

.PHONY: build-js
build-js: js/dist/index.js ## build the npm package into js/dist
js/dist/index.js: js/package-lock.json Cargo.lock $(shell find js/src js/scripts sdk-wasm sdk-core/src -type f) | setup-wasm setup-node
	@$(SETUP)/npm.sh js
	@$(SETUP)/versions.sh
	cd js && npm run --silent build
	@touch $@

.PHONY: build-chat demo-programs
build-chat: examples/web-chat/dist/index.html ## build the chat example into examples/web-chat/dist and dist-backend
	@$(SETUP)/npm.sh examples/node-bot
examples/web-chat/dist/index.html: js/dist/index.js $(addprefix examples/web-chat/,index.html package-lock.json vite.config.ts tsconfig.json) $(shell find examples/web-chat/src examples/web-chat/public -type f)
	@$(SETUP)/npm.sh examples/web-chat
	cd examples/web-chat && npm run --silent build
# Unoptimised: fast enough for a room of people, and built in half the time.
demo-programs: setup-rust setup-node
	@echo "Building the server, the Rust bot and the Rust backend (a few minutes the first time)"
	cargo build -p homing-server -p rust-bot -p backend-rust
	@echo "Building the npm package and the chat"
	@$(MAKE) build-chat

.PHONY: size
size: build-js ## print what the npm package weighs; fails above its budget
	cd js && npm run --silent size

.PHONY: sim mutants
SEEDS ?= 100000
START ?= 0
sim: setup-rust ## tell SEEDS=100000 stories of clients, servers and storages that break, from START=0 on; a failing one in words
	cargo build --profile sim -p homing-tests --bin homing-sim
	@SEEDS=$(SEEDS) START=$(START) target/sim/homing-sim
mutants: setup-rust ## break one guarantee after the other on purpose, and see the simulation find each (ONLY=name for one)
	@$(SETUP)/mutants.sh $(ONLY)

.PHONY: soak
soak: setup-rust setup-node setup-debian ## look for rare faults: new seeds, storms, Redis faults, fuzzers; about ten minutes
	@$(SETUP)/soak.sh

.PHONY: package
package: build-js ## pack the npm package into target/package
	@mkdir -p target/package
	cp LICENSE-APACHE LICENSE-MIT js/
	cd js && npm pack --pack-destination $(CURDIR)/target/package

.PHONY: bench-client
bench-client: build-js setup-debian ## what the npm package weighs, and its messages a second in Chromium
	-cd js && npm run --silent size
	cd js && npm run --silent bench

.PHONY: fuzz
FUZZ_SECONDS ?= 60
fuzz: setup-rust ## fuzz every target for FUZZ_SECONDS (needs cargo-fuzz); finds go to tests/fuzz/artifacts
	@command -v cargo-fuzz >/dev/null || { echo "cargo-fuzz is missing: cargo install cargo-fuzz"; exit 1; }
	cd tests/fuzz && for target in fuzz_targets/*.rs; do \
		RUSTC_BOOTSTRAP=1 cargo fuzz run "$$(basename "$$target" .rs)" -- -max_total_time=$(FUZZ_SECONDS); \
	done

.PHONY: lint-rust
lint-rust:
	@cargo fmt --all --check || { echo "Formatting is off, see above: run 'cargo fmt --all' and commit."; exit 1; }
	cargo clippy --workspace --all-targets -- -D warnings
	cargo clippy -p homing-tests --test native -- -D warnings
	cargo check --target wasm32-unknown-unknown -p homing-core -p homing-wasm

.PHONY: lint-js
lint-js: setup-node ## types and rules of the npm package's sources
	@$(SETUP)/npm.sh js
	cd js && npm run --silent lint

.PHONY: lint-shell
lint-shell:
	@$(SETUP)/shellcheck.sh
