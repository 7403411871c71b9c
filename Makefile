.PHONY: build test lint
build: ; cargo xtask build
test:  ; cargo xtask test
lint:  ; cargo xtask lint
