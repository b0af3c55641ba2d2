# Two commands for a bare Debian machine with a Rust toolchain: `make demo`, `make test`.
TARGET := $(or $(CARGO_TARGET_DIR),target)

.PHONY: demo test deps lint instructions ci-long

deps:
	@contrib/install-deps.sh

demo: deps
	cargo build --release --locked
	@echo
	@$(TARGET)/release/vpnscope analyze pcaps/ikev2-psk-mismatch/client.pcap; status=$$?; [ $$status -le 1 ]

test: deps
	cargo test --workspace --locked

lint:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo clippy --workspace --all-targets --locked --no-default-features -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked --document-private-items

# Fails where a packet costs more than 5 % more instructions than committed.
instructions: deps
	contrib/instructions.sh

ci-long: deps
	contrib/ci-long.sh
