#!/usr/bin/env bash
# Runs all tests. It needs Go, git and bash; scripts/deps.sh installs the rest. `make test` runs this script.
# Usage: scripts/test.sh [PACKAGE…]   without arguments all packages. TESTFLAGS adds flags to go test.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { echo "test: $*" >&2; }

say "about 20 minutes on 2 idle processors; the first run downloads and compiles for another 10 minutes. Each package prints one line when its tests are done."

scripts/deps.sh
export PATH="$PWD/.tools/node/bin:$PWD/.tools/python/bin:$PATH" # tools installed by scripts/deps.sh take precedence

packages=("$@")
[ ${#packages[@]} -gt 0 ] || packages=(./...)
read -r -a flags <<<"${TESTFLAGS:--timeout 20m}"

unformatted=$(git ls-files -z --cached --others --exclude-standard '*.go' | xargs -0 gofmt -l)
if [ -n "$unformatted" ]; then
  say "not formatted (run gofmt -w):" $unformatted
  exit 1
fi

# The race detector needs cgo; the binary itself is built without. SQLite's engine is C translated to Go. The race detector makes it ten
# times slower and could not find bugs of ours there, so modernc.org/sqlite/lib is compiled without it. Only a package without
# instances of generic code may be excluded: the linker keeps one copy of each instance, and a copy without race detection hides
# synchronisation, so that the detector reports races that do not exist.
race=(-race -gcflags=modernc.org/sqlite/lib=-race=false)

# Tests of the real program. The program is built without the race detector and runs in its own process; these tests mostly wait.
program='/(scripts/release|tests/(alerts|traces|cluster|console|crash|days|evidence|growth|ledger|power|programs|sdk|secrets|servers))$'
# Packages that leave out tests or random cases with the race detector (internal/raced). They run again without it, with all of them.
random='/internal/(cli|dispatch|engine|limit|store)$'

echo "+ go vet"
go vet "${race[@]}" "${packages[@]}" # with -race, vet and test share one build of the dependencies

all=$(go list "${packages[@]}")
failed=0
# run PACKAGES FLAG…: tests the packages, one a line, if there are any.
run() {
  [ -n "$1" ] || return 0
  echo "+ go test ${*:2}"
  go test "${@:2}" "${flags[@]}" $1 || failed=1
}
run "$(grep -vE "$program" <<<"$all" || true)" "${race[@]}"
run "$(grep -E "$program|$random" <<<"$all" || true)" -p 4

# The chart has a module of its own, because Helm is large. Windows is only built: there is no such machine here.
if [ $# -eq 0 ]; then
  echo "+ go test deploy/helm"
  (cd deploy/helm && go test "${flags[@]}" ./...) || failed=1
  echo "+ go vet for Windows and macOS"
  GOOS=windows go vet ./cmd/batholith ./internal/system || failed=1
  GOOS=darwin GOARCH=arm64 go vet ./internal/system ./internal/managed ./internal/network ./internal/door || failed=1
fi
exit $failed
