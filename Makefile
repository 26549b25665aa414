# SPDX-License-Identifier: GPL-2.0-or-later
# The front door. Each command installs what it misses, builds, and does its job.
#
#   make run      build a small Linux on a VHD disk and boot it in this terminal
#   make check    all tests (at most 30 minutes on 2 processors)
#   make soak     the long guests and power cuts
#   make bench    measure against QEMU and against the host; QUICK=1 for a short one
#   make build    build into build/, programs in build/bin/
#   make install  PREFIX=/usr/local DESTDIR=
#   make fmt      clang-format over the sources; make tidy: clang-tidy

PREFIX ?= /usr/local
PROGRAMS = yado yado-vm yado-net yado-jail

.PHONY: all build run check soak bench fmt tidy install clean
all: build

build:
	@tools/install-deps build web
	@tools/build release

run:
	@tools/install-deps build run
	@tools/build release $(PROGRAMS)
	@tools/run-demo

check:
	@tools/install-deps build web run check
	@tools/check

soak:
	@tools/install-deps build web run check
	@tools/build release
	@YADO_SOAK=1 ctest --test-dir build --output-on-failure -R powercut
	@tests/server/test-host || [ $$? = 77 ]
	@tests/guest/on-kvm || [ $$? = 77 ]
	@tests/guest/on-debian || [ $$? = 77 ]
	@tests/guest/run --label soak

bench:
	@tools/install-deps build web run check bench
	@tools/build release $(PROGRAMS) yadod
	@tools/bench $(if $(QUICK),--quick)
	@tools/bench-debian $(if $(QUICK),--rounds 1)
	@tools/bench-disk $(if $(QUICK),--quick)
	@tools/bench-net $(if $(QUICK),--quick)
	@tools/bench-save $(if $(QUICK),--rounds 1 --memory 512)
	@tools/bench-server $(if $(QUICK),--quick)

fmt:
	@tools/install-deps dev
	@find src tests \( -name '*.c' -o -name '*.h' \) -print0 | xargs -0 clang-format-14 -i

tidy:
	@tools/install-deps build web dev
	@tools/build dev
	@find src -name '*.c' -print0 | xargs -0 -n 8 -P 2 clang-tidy --quiet -p build/dev

install:
	@tools/install-deps build web firmware
	@tools/build release $(PROGRAMS) yadod
	@for program in $(PROGRAMS) yadod; do \
		install -D -m 755 build/bin/$$program $(DESTDIR)$(PREFIX)/bin/$$program; \
	done
	@for page in docs/man/*; do \
		install -D -m 644 $$page $(DESTDIR)$(PREFIX)/share/man/man$${page##*.}/$${page##*/}; \
	done
	@for unit in data/*.service data/*.socket; do \
		install -D -m 644 $$unit $(DESTDIR)$(PREFIX)/lib/systemd/system/$${unit##*/} && \
		sed -i 's|/usr/local/|$(PREFIX)/|' $(DESTDIR)$(PREFIX)/lib/systemd/system/$${unit##*/}; \
	done
	@install -D -m 644 data/yado.pam $(DESTDIR)/etc/pam.d/yado
	@install -D -m 644 data/yado.sysusers $(DESTDIR)$(PREFIX)/lib/sysusers.d/yado.conf
	@install -D -m 644 data/yado.bash-completion \
		$(DESTDIR)$(PREFIX)/share/bash-completion/completions/yado

clean:
	rm -rf build
