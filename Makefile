# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The commands a person types. Each does its own set-up: on Debian and its relatives the missing
# packages are installed by tools/setup, which says which and why; elsewhere it lists them.
# SETUP=no skips that step.

BUILD ?= build
SETUP ?= yes
ARGS  ?=
TIME  ?= 10

.PHONY: all programs docs run serve check check-vm check-full check-matrix coverage bench fuzz fuzz-coverage soak clean help
all: $(BUILD)/build.ninja
	@ninja -C $(BUILD)

# Without the tests, which are most of it.
programs: $(BUILD)/build.ninja
	@ninja -C $(BUILD) programs

# The manual in HTML, in $(BUILD)/docs/html.
docs: setup-docs $(BUILD)/build.ninja
	@ninja -C $(BUILD) docs

help:
	@echo 'make run          build, and tell what it is for: two simulated hosts and a shared disk'
	@echo 'make run DEVICE=/dev/sdX   the same on a real disk, after a question'
	@echo 'make docs         all documents and manual pages as HTML, with a search, in $(BUILD)/docs/html'
	@echo 'make serve        build, start the helper on a socket of its own, say how to talk to it'
	@echo 'make check        build and run the test suite'
	@echo 'make check-vm     of these the ones with real LUNs, QEMU, libvirt, systemd; in virtual machines'
	@echo 'make check-full   the same and the long tests (sanitizers, comparison, repetitions): hours.'
	@echo '                  Without changes in the tree it goes on where it was interrupted'
	@echo 'make check-matrix Debian 12, 13 and sid, other compilers and architectures: an hour, as root'
	@echo 'make coverage     which lines of each room the tests reach, without virtual machines'
	@echo 'make bench        measure beside the distribution'\''s helper and the physical floors: 30 minutes'
	@echo 'make fuzz TIME=SECONDS     let each fuzz target search for so long for an input that breaks it'
	@echo 'make fuzz-coverage         how much of each room the corpora of make check reach'
	@echo 'make soak TIME=SECONDS     a mixed load with deaths, restarts, errors and hangs: an hour; SEED=NUMBER'
	@echo 'make              build only; make clean removes $(BUILD)'

run: setup-build programs
	@DEVICE='$(DEVICE)' tools/story $(BUILD) $(ARGS)

serve: setup-build programs
	@tools/serve $(BUILD) $(ARGS)

check: setup-check all
	@tests/run --build $(BUILD) $(ARGS)

check-vm: setup-check all
	@echo 'Virtual machines without emulation, for some tests with it: the first time images are made.'
	@tests/run --build $(BUILD) vm/ $(ARGS)

check-full: setup-full all
	@tests/run --build $(BUILD) --full --times --resume $(ARGS)

check-matrix: setup-check
	@tests/matrix/run --build $(BUILD) $(ARGS); result=$$?; \
	 tests/matrix/run --build $(BUILD) --write && exit $$result

coverage: setup-check
	@tests/coverage/run --build $(BUILD) --files $(ARGS)

bench: setup-check all
	@bench/run --build $(BUILD) --json $(BUILD)/bench.json --svg $(BUILD)/bench.svg $(ARGS)

fuzz: setup-fuzz
	@tests/fuzz/run --build $(BUILD) --time $(TIME) $(ARGS)

fuzz-coverage: setup-check
	@tests/fuzz/run --build $(BUILD) --coverage

soak: TIME = 3600
soak: setup-check all
	@for suite in load maps; do \
	     tests/soak/run --build $(BUILD) --time $(TIME) $(if $(SEED),--seed $(SEED)) $(ARGS) $$suite & \
	     pids="$$pids $$!"; \
	 done; for pid in $$pids; do wait $$pid || failed=1; done; exit $${failed:-0}

clean:
	rm -rf $(BUILD)

.PHONY: setup-build setup-docs setup-check setup-full setup-fuzz
setup-build setup-docs setup-check setup-full setup-fuzz: setup-%:
	@[ '$(SETUP)' = no ] || tools/setup $* $(BUILD)

$(BUILD)/build.ninja: | setup-build
	@meson setup $(BUILD) >$(BUILD).log 2>&1 || { cat $(BUILD).log; rm -f $(BUILD).log; exit 1; }
	@sed -n 's/^Message: //p' $(BUILD).log; rm -f $(BUILD).log
