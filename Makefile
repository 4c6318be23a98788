# make demo   set up what is missing and hold a whole conversation on this machine
# make test   set up what is missing and run the tests that a change needs, in some minutes
# make test-wide  the tests in the machine's own time: sockets, processes, cards, others' clients
# make soak   simulate visits under faults; SOAK_ARGS="--visits 10000 --seed 1", "--level sounded" or real
# make bench  set up what is missing and measure everything, beside the official client
# make boot-test  boot three Debian systems, set them up by the playbooks, break them; as root
# make install    make this machine a kiosk: the playbooks against itself; asks what it needs
# make uninstall  take that away again
# make vm-test    set up a virtual machine by the playbooks, with sound cards and a header; as root
# make control    fill .venv-deploy with Ansible, for the playbooks in deploy/
# The set-up installs Debian packages (with sudo when not root, saying so) and fills .venv from the
# hashed lock; done once, it costs nothing.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# espeak-ng speaks; the rest builds the three libraries that have no wheels.
PACKAGES := espeak-ng libasound2-dev libsystemd-dev pkg-config gcc swig python3-dev python3-venv
# A virtual sound card for the tests, and where that would cost a desktop its sound server, none; and
# voices that the recogniser was not made with.
RIG_PACKAGES := pulseaudio pulseaudio-utils libasound2-plugins alsa-utils flite
# Makes real journals for the watcher's tests; none of its services is switched on by that.
JOURNAL_PACKAGES := systemd-journal-remote
# Whole Debian systems, for the tests that boot some.
BOOT_PACKAGES := systemd-container mmdebstrap openssh-client
# A virtual machine with a disk of its own.
VM_PACKAGES := qemu-system-x86 qemu-utils e2fsprogs espeak-ng
CROSS_PACKAGES := gcc-aarch64-linux-gnu mmdebstrap pkg-config swig
EMULATION_PACKAGES := qemu-user-static binfmt-support arch-test
RIG_KEEPS := KEEP=pipewire-pulse KEEP=pipewire-alsa KEEP=pipewire-audio

# lgpio builds from source only when told that it stands alone.
export PYPI := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Nothing is asked of a kiosk's own environment.
unexport KIOSK_CONFIG

.PHONY: help demo test test-wide soak mutation test-313 lint slow bench lock venv packages rig-packages bench-packages
.PHONY: bench-backend browser promtool pgbouncer javascript-client postgresql clean boot-test boot-packages vm-test vm-packages control
.PHONY: install uninstall arm64 arm64-test sbom pictures

help:
	@sed -n 's/^# make/make/p' Makefile
	@echo "make lint, make test-313, make mutation, make slow, make bench-backend, make arm64-test, make sbom, make pictures, make lock, make clean"

demo: venv
	$(BIN)/kiosk demo

test: venv rig-packages postgresql
	$(BIN)/pytest -n 2 --dist worksteal -m "not slow and not wide" $(MACHINES)

# They mostly wait, so that two at a time are no more than a busy machine. At last, alone, those that
# listen for a gap in what is played, as somebody else's measure does too.
LISTENING := tests/integration/test_alsa.py tests/integration/test_card_formats.py \
	tests/clients/test_voicebench.py
test-wide: venv rig-packages postgresql javascript-client browser promtool pgbouncer
	$(BIN)/pytest -n 2 --dist worksteal -m "wide and not slow" --durations=20 $(MACHINES) $(LISTENING:%=--ignore %)
	$(BIN)/pytest -m "wide and not slow" $(LISTENING)

# Its Python asks the C library for every object, which counts them: the memory's growth is exact.
SOAK_ARGS ?= --visits 1000
soak: venv
	@$(BIN)/python -m tests.soak $(SOAK_ARGS)

# Two hours or three, most of them in the virtual machine, whose power is cut a hundred times: as root.
slow: venv rig-packages postgresql
	$(BIN)/pytest -m slow $(MACHINES)
	$(MAKE) vm-test VM_ARGS="-m slow"

# Tests that boot machines of their own, as root.
MACHINES := --ignore tests/boot --ignore tests/vm

boot-test: venv boot-packages
	$(BIN)/pytest -x --durations=12 tests/boot

# Emulated, so slow. VM_ARGS='-m slow' cuts the power a hundred times.
VM_ARGS ?= -m "not slow"
vm-test: venv boot-packages vm-packages
	$(BIN)/pytest -x -s tests/vm $(VM_ARGS)

# The same release for Raspberry Pis, cross-compiled where a library publishes no wheel.
arm64: venv
	@.ci/debian-packages $(CROSS_PACKAGES)
	deploy/build-release --arch aarch64

# Installs and imports it in an emulated Debian 12, as root: ten minutes.
arm64-test: arm64
	@.ci/debian-packages $(EMULATION_PACKAGES)
	$(BIN)/python -m tests.arm64_install dist/voice-kiosk-*-cp311-aarch64.tar

control: $(VENV)-deploy/.filled

install: packages control
	@deploy/install

uninstall: control
	@deploy/install --remove

# One table, and bench.json; in under a quarter of an hour. BENCH_ARGS='--only PATTERN' takes a part.
bench: venv rig-packages bench-packages $(VENV)/.filled-bench
	$(BIN)/python -m tests.bench $(BENCH_ARGS)

# What a fleet costs the backend, on both databases: a table, and bench-backend.json; in a quarter of
# an hour. BENCH_ARGS='--seconds 10 --only "sqlite, 200 "' takes a part.
bench-backend: venv postgresql
	$(BIN)/python -m tests.bench_backend $(BENCH_ARGS)

# The README's pictures, taken anew.
pictures: venv browser
	$(BIN)/python -m tests.pictures

# Do the tests of the visit's core notice when a rule of it is changed? In a quarter of an hour; those
# that no test noticed are listed.
mutation: venv $(VENV)/.filled-mutation
	$(BIN)/mutmut run
	$(BIN)/mutmut results

# What a release is made of, for whoever must know whether a weakness concerns it: CycloneDX, from the
# locks, in dist.
sbom: $(VENV)-sbom/.filled
	@mkdir -p dist
	@for lock in "" -backend -webrtc; do \
		PYTHONWARNINGS=ignore $(VENV)-sbom/bin/cyclonedx-py requirements --pyproject pyproject.toml --mc-type application \
			--output-reproducible --output-format JSON \
			--output-file dist/sbom$$lock.cdx.json requirements$$lock.txt || exit 1; \
	done
	@ls dist/sbom*.cdx.json

# The tests that need neither sound server nor recogniser, on the other Python that we support.
test-313: packages .venv-313/.filled
	.venv-313/bin/pytest -n 2 --dist worksteal -m "not slow" tests/unit

lint: venv
	@.ci/debian-packages shellcheck systemd
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	shellcheck .ci/run .ci/debian-packages .ci/program .ci/verify-units .ci/python313 .ci/postgresql \
		deploy/build-release deploy/install deploy/fetch deploy/pull deploy/backend/make-secrets
	$(BIN)/mypy --strict deploy/foreign_wheels.py
	.ci/verify-units
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/ansible-lint --offline -q deploy
	cd deploy && for book in *.yml; do \
		../$(BIN)/ansible-playbook --syntax-check --inventory inventory.example "$$book" >/dev/null \
			|| exit 1; \
	done

# After a change of dependencies in pyproject.toml. Hashes, no addresses.
LOCK := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	--no-emit-index-url --no-annotate --upgrade
lock:
	$(LOCK) pyproject.toml --output-file requirements.txt
	$(LOCK) pyproject.toml --extra webrtc --output-file requirements-webrtc.txt
	$(LOCK) pyproject.toml --all-extras --group clients --output-file requirements-dev.txt
	$(LOCK) pyproject.toml --extra backend --extra models --output-file requirements-backend.txt
	$(LOCK) --group bench --output-file requirements-bench.txt
	$(LOCK) --group browser --output-file requirements-browser.txt
	$(LOCK) --group deploy --output-file requirements-deploy.txt
	$(LOCK) --group sbom --output-file requirements-sbom.txt
	$(LOCK) --group mutation --constraint requirements-dev.txt --output-file requirements-mutation.txt

venv: packages $(VENV)/.filled

packages:
	@.ci/debian-packages $(PACKAGES)

rig-packages:
	@.ci/debian-packages $(RIG_PACKAGES) $(RIG_KEEPS)
	@.ci/debian-packages $(JOURNAL_PACKAGES)

boot-packages:
	@.ci/debian-packages $(BOOT_PACKAGES)

vm-packages:
	@.ci/debian-packages $(VM_PACKAGES)

# The backend's other database, for its tests.
postgresql:
	@.ci/postgresql

# The official client's own sound needs PyAudio, which is built against PortAudio; nftables loses
# packets; Valgrind counts instructions.
bench-packages:
	@.ci/debian-packages portaudio19-dev nftables valgrind

# Checks the rules for Prometheus. The program alone: the package would start a server.
promtool: $(BIN)/promtool

$(BIN)/promtool: $(VENV)/.filled
	@.ci/program prometheus /usr/bin/promtool $@

# A pooler between the backend and PostgreSQL, for the tests. The program alone, and its libraries.
pgbouncer: $(BIN)/pgbouncer

$(BIN)/pgbouncer: $(VENV)/.filled
	@.ci/debian-packages libc-ares2 libevent-2.1-7
	@.ci/program pgbouncer /usr/sbin/pgbouncer $@

# Chromium is Debian's; the packages drive it.
browser: $(VENV)/.filled-browser
	@.ci/debian-packages chromium

$(VENV)/.filled-browser: requirements-browser.txt $(VENV)/.filled
	@echo "Adding requirements-browser.txt to $(VENV)"
	@$(BIN)/pip install --quiet --require-hashes --requirement requirements-browser.txt
	@touch $@

$(VENV)/.filled-bench: requirements-bench.txt $(VENV)/.filled
	@echo "Adding requirements-bench.txt to $(VENV)"
	@$(BIN)/pip install --quiet --use-pep517 --require-hashes --requirement requirements-bench.txt
	@touch $@

$(VENV)-sbom/.filled: requirements-sbom.txt
	@$(PYTHON) -m venv $(VENV)-sbom
	@$(VENV)-sbom/bin/pip install --quiet --require-hashes --requirement requirements-sbom.txt
	@touch $@

$(VENV)/.filled-mutation: requirements-mutation.txt $(VENV)/.filled
	@echo "Adding requirements-mutation.txt to $(VENV)"
	@$(BIN)/pip install --quiet --use-pep517 --require-hashes --requirement requirements-mutation.txt
	@touch $@

$(VENV)/.filled: requirements-dev.txt pyproject.toml
	@echo "Filling $(VENV) from requirements-dev.txt"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --use-pep517 --require-hashes --requirement requirements-dev.txt
	@$(BIN)/pip install --quiet --no-deps --editable .
	@touch $@

$(VENV)-deploy/.filled: requirements-deploy.txt
	@echo "Filling $(VENV)-deploy from requirements-deploy.txt"
	@$(PYTHON) -m venv --clear $(VENV)-deploy
	@$(VENV)-deploy/bin/pip install --quiet --require-hashes --requirement requirements-deploy.txt
	@sync && touch $@

.venv-313/.filled: requirements-dev.txt pyproject.toml
	@echo "Filling .venv-313 from requirements-dev.txt"
	@python=$$(.ci/python313) && $$python -m venv .venv-313
	@.venv-313/bin/pip install --quiet --use-pep517 --require-hashes --requirement requirements-dev.txt
	@.venv-313/bin/pip install --quiet --no-deps --editable .
	@touch $@

# The official JavaScript client, for its test. Without npm, or where npm cannot fetch, that test is
# skipped and says why.
JAVASCRIPT := tests/clients/javascript
javascript-client: $(JAVASCRIPT)/node_modules/.filled

$(JAVASCRIPT)/node_modules/.filled: $(JAVASCRIPT)/package-lock.json
	@if command -v npm >/dev/null; then \
		echo "Filling $(@D) from package-lock.json"; \
		(cd $(JAVASCRIPT) && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error) \
			>/dev/null && touch $@ || echo "npm could not fill $(@D)"; \
	fi

clean:
	rm -rf $(JAVASCRIPT)/node_modules
	rm -rf .venv .venv-313 .venv-deploy .venv-sbom .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist mutants *.egg-info
