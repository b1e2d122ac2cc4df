# Few, obvious targets; each is one command that can also be typed.

.PHONY: gen gen-check

# Writes the Generated/ folders from the rows in ISA/.
gen:
	@rm -rf Sources/X86/Generated Sources/Engine/Generated
	@swift build --package-path Tools/isagen --quiet
	@Tools/isagen/.build/debug/isagen

# Fails when a generated file differs from what the rows say.
gen-check:
	@swift build --package-path Tools/isagen --quiet
	@Tools/isagen/.build/debug/isagen --check
