#!/usr/bin/env bash
# Builds S3 servers from the Go module proxy into .tools/servers, starts each on the loopback with an empty folder, and runs the object suite
# and the crash tests against it. Without arguments it runs all servers:
#   scripts/test-servers.sh [minio] [seaweedfs]
# A server that cannot be built is a failure. GO_TEST_FLAGS adds flags to go test.
set -euo pipefail
cd "$(dirname "$0")/.."

MINIO=github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c
SEAWEEDFS=github.com/seaweedfs/seaweedfs@v0.0.0-20261109003541-7506e5f91cd6

tools=$PWD/.tools/servers
export BATHOLITH_TEST_S3_KEY=servertest BATHOLITH_TEST_S3_SECRET=servertestsecret
mkdir -p "$tools"

say() { echo "test-servers: $*"; }

# build NAME MODULE PACKAGE builds a server. go install does not work: these modules' go.mod has replace directives.
build() {
  local name=$1 module=$2 package=$3 dir
  [ -x "$tools/$name" ] && return
  say "building $name from $module"
  dir=$(go mod download -json "$module" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
  (cd "$dir" && CGO_ENABLED=0 go build -o "$tools/$name" "$package")
}

# free prints a port P such that P and P + 10,000 are free; SeaweedFS uses the latter for gRPC.
free() {
  python3 - <<'PY'
import random, socket
while True:
    port = random.randrange(20000, 30000)
    try:
        for p in (port, port + 10000):
            with socket.socket() as s: s.bind(("127.0.0.1", p))
    except OSError:
        continue
    print(port)
    break
PY
}

# quirks are known differences of a server from S3 (internal/object/objecttest, Quirk).
declare -A quirks=([minio]="" [seaweedfs]="backslash,makes-buckets")

server= dir=
stop() {
  [ -z "$server" ] || { kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; }
  [ -z "$dir" ] || rm -rf "$dir"
  server= dir=
}
trap stop EXIT

start_minio() {
  build minio "$MINIO" .
  "$tools/minio" --version | head -1
  MINIO_ROOT_USER=$BATHOLITH_TEST_S3_KEY MINIO_ROOT_PASSWORD=$BATHOLITH_TEST_S3_SECRET \
    "$tools/minio" server "$dir/data" --address "127.0.0.1:$1" --console-address "127.0.0.1:$(free)" >"$dir/log" 2>&1 &
  server=$!
}

start_seaweedfs() {
  build weed "$SEAWEEDFS" ./weed
  "$tools/weed" version
  cat >"$dir/s3.json" <<JSON
{"identities": [{"name": "test", "actions": ["Admin", "Read", "Write", "List", "Tagging"],
  "credentials": [{"accessKey": "$BATHOLITH_TEST_S3_KEY", "secretKey": "$BATHOLITH_TEST_S3_SECRET"}]}]}
JSON
  mkdir "$dir/data"
  "$tools/weed" -v 0 server -dir "$dir/data" -ip 127.0.0.1 -ip.bind 127.0.0.1 -master.port "$(free)" -volume.port "$(free)" -filer -filer.port "$(free)" \
    -master.volumeSizeLimitMB 64 -volume.max 200 -s3 -s3.port "$1" -s3.config "$dir/s3.json" >"$dir/log" 2>&1 &
  server=$!
}

# ready waits up to a minute until the port answers HTTP.
ready() {
  for _ in $(seq 300); do
    curl -s -o /dev/null "http://127.0.0.1:$1/" && return
    kill -0 "$server" 2>/dev/null || break
    sleep 0.2
  done
  tail -20 "$dir/log" >&2
  say "the server did not start"
  return 1
}

failed=0
[ $# -gt 0 ] || set -- minio seaweedfs
for name in "$@"; do
  dir=$(mktemp -d)
  port=$(free)
  "start_$name" "$port"
  ready "$port"
  export BATHOLITH_TEST_S3_QUIRKS=${quirks[$name]}
  export BATHOLITH_TEST_S3_ENDPOINT=http://127.0.0.1:$port
  say "$name: the object suite"
  go test -count=1 -timeout 15m ${GO_TEST_FLAGS:-} ./internal/object -run TestTheServerOfTheEndpointKeepsTheLaw || failed=1
  say "$name: the crash tests"
  go test -count=1 -timeout 30m ${GO_TEST_FLAGS:-} ./tests/crash || failed=1
  stop
done
[ $failed = 0 ] && say "all tests passed" || say "some tests failed"
exit $failed
