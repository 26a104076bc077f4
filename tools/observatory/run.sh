#!/usr/bin/env bash
# Scores the presets of secheaders with the MDN HTTP Observatory and
# csp_evaluator: the test in secheaders/observatory_test.go serves each over TLS
# with a certificate authority of its own, and scan.mjs here scans them.
#
# Packages are installed by the lock file, without their install scripts: those
# would download the preload list of browsers, in which a test's localhost is not.
set -euo pipefail
cd "$(dirname "$0")"
if ! cmp -s package-lock.json node_modules/.installed; then
	npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	echo '{}' >node_modules/@mdn/mdn-http-observatory/conf/hsts-preload.json
	cp package-lock.json node_modules/.installed
fi
tools=$PWD
cd ../..
GATEHOUSE_OBSERVATORY=$tools go test -count=1 -run '^TestObservatory' "$@" ./secheaders
