# A thin front door; the work is in CMakeLists.txt and .ci/.
#
#   make        build into build/                make run    set up, build, start the HTTP example
#   make check  quick tests of the plain build   make test   set up, build and test every lane
#   make bench  set up, build, measure           make install PREFIX=/usr/local

PREFIX ?= /usr/local
FLAGS ?=
generator = $(if $(shell command -v ninja),-G Ninja)

.PHONY: build run check test bench install setup clean
.DEFAULT_GOAL := build

build: build/CMakeCache.txt
	cmake --build build

build/CMakeCache.txt:
	cmake -S . -B build $(generator) $(FLAGS)

run:
	.ci/setup build
	$(MAKE) build
	build/bin/hvlua examples/http_server.lua

check: build
	ctest --test-dir build --output-on-failure -j 2

test:
	.ci/setup test
	.ci/lanes

bench:
	.ci/setup bench
	cmake -S . -B build $(if $(wildcard build/CMakeCache.txt),,$(generator)) $(FLAGS)
	cmake --build build --target all bench_clients
	spec/bench/run

install: build
	cmake --install build --prefix $(PREFIX)

setup:
	.ci/setup test

clean:
	rm -rf build build-asan build-tsan build-hostile build-fuzz build-valgrind
