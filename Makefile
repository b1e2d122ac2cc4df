# Few, obvious targets; each is one command that can also be typed.

.PHONY: build test gen gen-check embedded bench fuzz format

# Writes the Generated/ folders from the rows in ISA/.
gen:
	@rm -rf Sources/X86/Generated Sources/Engine/Generated Sources/Translator/Generated
	@swift build --package-path Tools/isagen --quiet
	@Tools/isagen/.build/debug/isagen

# Fails when a generated file differs from what the rows say.
gen-check:
	@swift build --package-path Tools/isagen --quiet
	@Tools/isagen/.build/debug/isagen --check

# The product: .build/release/vitrine.
build:
	@swift build -c release --product vitrine

# All the tests, in stages; `./test --list` names them.
test:
	@./test

# Compiles the core modules as Embedded Swift for x86-64 Linux and bare arm64.
embedded:
	@Tools/embedded.sh

# Measures against native and qemu-x86_64, side by side.
bench: build
	@Benchmarks/bench.py

# A long run of the mutation fuzzer over ELF files and random code.
fuzz: build
	@Tests/BadInput/check --mutations 20000 --random 5000

# Rewrites the Swift sources in the house's format.
format:
	@git ls-files '*.swift' | grep -v /Generated/ | xargs swift format --in-place --configuration .swift-format
