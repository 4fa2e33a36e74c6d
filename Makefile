# A thin front of Meson: what people type. The build is in BUILD.
BUILD ?= build
PREFIX ?= /usr/local
MESON_OPTIONS ?=

.PHONY: all deps test-deps test soak demo bench format install docs fuzz clean

all: $(BUILD)/build.ninja
	@ninja -C $(BUILD)

$(BUILD)/build.ninja: | deps
	@meson setup $(BUILD) --prefix=$(PREFIX) --libexecdir=libexec $(MESON_OPTIONS)

deps:
	@tools/deps

test-deps:
	@tools/deps test

# Builds, too. Its last line of output: N passed, N failed.
test: test-deps
	@tools/test-summary $(BUILD) $(TEST_OPTIONS)

demo: all
	@tools/demo $(BUILD)

bench: all
	@tools/bench $(BUILD)

format:
	@git ls-files '*.c' '*.h' | xargs clang-format -i

# The reference pages that are generated from the tables of messages and of system calls.
docs:
	@python3 docs/generate_abi.py process/kernel > docs/abi.md
	@python3 proto/generate.py reference proto/messages.def proto/errors.def > docs/wire.md

# What takes minutes a test: real programs, whole test-suites.
soak: test-deps
	@tools/test-summary $(BUILD) --setup soak --suite soak $(TEST_OPTIONS)

# Every decoder for FUZZ_SECONDS each.
FUZZ_SECONDS ?= 600
fuzz: deps
	@tests/fuzz/run $(FUZZ_SECONDS)

install: all
	@meson install -C $(BUILD) --no-rebuild

clean:
	@rm -rf $(BUILD)
