#!/usr/bin/env bash
# Installs the tests' dependencies that the machine lacks. It may be run repeatedly: what is installed is left alone.
#   system packages   by apt-get, as root or with sudo that asks no password
#   PostgreSQL        by apt-get: only its programs, with which the tests start servers of their own. Debian's own server is not made. If it
#                     cannot be installed, its tests are skipped with a message, unless the variable CI is set.
#   rclone, s3cmd     by apt-get, and minio-go by go. If one cannot be installed, its tests are skipped with a message.
#   node              by apt-get. The AWS SDK needs version 20; where the machine's is older (Debian 12 has 18), 20 goes into .tools/node.
#   AWS SDK for JS, and the libraries of OpenAI and Anthropic, into tests/sdk/node_modules, at the versions of the lock file
#   Portkey's gateway into tests/programs/node_modules, likewise
#   Chromium          by apt-get, for the tests of the console, and axe-core into tests/console/node_modules, at the version of the lock file. If
#                     Chromium cannot be installed, its tests are skipped with a message, unless the variable CI is set.
#   llama.cpp         into tests/servers/node_modules, likewise: the npm package node-llama-cpp has it prebuilt. If it cannot be installed,
#                     its tests are skipped with a message, unless the variable CI is set.
#   boto3, AWS CLI    into .tools/python, at the versions of tests/sdk/requirements.txt. If they cannot be installed, their tests
#                     are skipped with a message. Distributions' versions are too old for batch inference.
set -euo pipefail
node_version=20.20.2 # installed where the machine's own is older than 20
cd "$(dirname "$0")/.."

say() { echo "deps: $*" >&2; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif sudo -n true 2>/dev/null; then sudo -n "$@"
  else say "cannot run: $*"; say "not root, and no sudo: install it by hand"; exit 1
  fi
}

# apt_install PACKAGE…
apt_install() {
  say "installing $*"
  as_root apt-get update -qq && as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@" >/dev/null
}

# need COMMAND PACKAGE…: installs the packages if the command is missing.
missing=()
need() {
  local command=$1; shift
  command -v "$command" >/dev/null || missing+=("$@")
}

# knows_batch PYTHON: succeeds if its boto3 has the batch operations and modelInvocationType.
knows_batch() {
  "$1" - 2>/dev/null <<'PY'
import botocore.session, boto3
bedrock = botocore.session.get_session().get_service_model("bedrock")
assert "modelInvocationType" in bedrock.operation_model("CreateModelInvocationJob").input_shape.members
PY
}

# cli_knows_batch: succeeds if the AWS CLI has them too.
cli_knows_batch() { aws bedrock create-model-invocation-job --generate-cli-skeleton 2>/dev/null | grep modelInvocationType >/dev/null; }

command -v go >/dev/null || { say "Go is missing; see go.mod for the version"; exit 1; }
need gcc gcc libc6-dev # the race detector links with it
need git git
need curl curl # the stories of the commands ask /readyz with it
need python3 python3 # the tests of Python programs run with it
if [ "$(uname -s)" = Linux ]; then
  need ip iproute2 # the test of traffic in network namespaces
fi
if [ -d tests/sdk ]; then
  need node nodejs
  need npm npm
fi
if [ ${#missing[@]} -gt 0 ]; then
  apt_install "${missing[@]}"
fi

# has_postgres: succeeds if the programs of PostgreSQL are there, in PATH or where Debian puts them.
has_postgres() { command -v initdb >/dev/null || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null; }

# postgres_programs installs PostgreSQL. Debian's package makes and starts a server ("main"), unless its configuration says otherwise.
postgres_programs() {
  local conf=/etc/postgresql-common/createcluster.conf
  apt_install postgresql-common || return 1
  as_root sed -i 's/^#\? *create_main_cluster *=.*/create_main_cluster = false/' "$conf" || return 1
  apt_install postgresql
}

if [ -d internal/pgtest ] && ! has_postgres && ! (postgres_programs); then # in a subshell, because as_root may exit
  say "PostgreSQL could not be installed; its tests will be skipped"
fi

# Debian's package is named chromium; the fonts make pictures of the pages look as on a desktop.
if [ -d tests/console ] && ! command -v chromium >/dev/null && ! (apt_install chromium fonts-dejavu-core); then
  say "Chromium could not be installed; the tests of the console will be skipped"
fi

# Further clients for tests of the embedded S3.
if [ -d tests/s3 ]; then
  for client in rclone s3cmd; do
    command -v "$client" >/dev/null || (apt_install "$client") || say "$client could not be installed; its test will be skipped"
  done
  (cd tests/s3/minio && go mod download) || say "minio-go could not be fetched; its tests will be skipped"
fi

# modern_node NODE: succeeds if it is version 20 or later, which the AWS SDK for JavaScript needs.
modern_node() { [ "$("$1" -p 'process.versions.node.split(".")[0]' 2>/dev/null || echo 0)" -ge 20 ]; }

# npm offers each release of node as a package per platform.
if [ -d tests/sdk ] && ! modern_node node && ! modern_node .tools/node/bin/node; then
  case $(uname -s)-$(uname -m) in
    Linux-x86_64) platform=linux-x64 ;;
    Linux-aarch64) platform=linux-arm64 ;;
    Darwin-arm64) platform=darwin-arm64 ;;
    *) say "node is older than version 20, which the AWS SDK for JavaScript needs: install a newer one by hand"; exit 1 ;;
  esac
  say "installing node 20 into .tools/node: this machine has $(node --version 2>/dev/null || echo none)"
  rm -rf .tools/node-package
  npm install --prefix .tools/node-package --no-audit --no-fund --no-save --silent --ignore-scripts "node-$platform@$node_version"
  mkdir -p .tools/node/bin
  cp ".tools/node-package/node_modules/node-$platform/bin/node" .tools/node/bin/node
  rm -rf .tools/node-package
fi

for dir in tests/sdk tests/programs tests/console; do
  if [ -f "$dir/package-lock.json" ] && [ ! "$dir/node_modules/.package-lock.json" -nt "$dir/package-lock.json" ]; then
    say "installing the packages of $dir/package-lock.json into $dir/node_modules"
    npm ci --prefix "$dir" --no-audit --no-fund --silent --ignore-scripts
    touch "$dir/node_modules/.package-lock.json"
  fi
done

# engine: llama.cpp. npm would install its builds for every kind of GPU as well, 700 MB, so the one for the processor is fetched by itself.
engine() {
  local dir=tests/servers version platform
  [ ! "$dir/node_modules/.package-lock.json" -nt "$dir/package-lock.json" ] || return 0
  case $(uname -s)-$(uname -m) in
    Linux-x86_64) platform=linux-x64 ;;
    Linux-aarch64) platform=linux-arm64 ;;
    Darwin-arm64) platform=mac-arm64-metal ;;
    *) return 1 ;;
  esac
  say "installing llama.cpp into $dir/node_modules"
  npm ci --prefix "$dir" --omit=optional --no-audit --no-fund --silent --ignore-scripts || return 1
  version=$(node -p 'require("./tests/servers/package.json").dependencies["node-llama-cpp"]') || return 1
  rm -rf .tools/engine-package
  npm install --prefix .tools/engine-package --no-audit --no-fund --no-save --silent --ignore-scripts "@node-llama-cpp/$platform@$version" || return 1
  mkdir -p "$dir/node_modules/@node-llama-cpp"
  rm -rf "$dir/node_modules/@node-llama-cpp/$platform"
  mv ".tools/engine-package/node_modules/@node-llama-cpp/$platform" "$dir/node_modules/@node-llama-cpp/"
  rm -rf .tools/engine-package
  touch "$dir/node_modules/.package-lock.json"
}

if [ -d tests/servers ] && ! engine; then
  rm -rf tests/servers/node_modules # so that the next run tries again
  say "llama.cpp could not be installed; its tests will be skipped"
fi

# python_tools creates .tools/python with boto3 and the AWS CLI.
python_tools() {
  if ! python3 -m venv .tools/python 2>/dev/null; then # Debian's python3 comes without venv
    rm -rf .tools/python
    apt_install python3 python3-venv && python3 -m venv .tools/python || return 1
  fi
  .tools/python/bin/pip install --quiet --disable-pip-version-check --retries 1 --timeout 15 -r tests/sdk/requirements.txt
}

if [ -f tests/sdk/requirements.txt ] && ! { knows_batch python3 && cli_knows_batch; }; then
  say "installing boto3 and the AWS CLI into .tools/python"
  if ! (python_tools); then # in a subshell, because as_root may exit
    rm -rf .tools/python # so that the next run tries again
    say "boto3 and the AWS CLI could not be installed; the tests that need them will be skipped"
  fi
fi
