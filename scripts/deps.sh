#!/usr/bin/env bash
# Installs what the tests need and the machine lacks. Run it as often as you like: what is there is left alone.
#   system packages   by apt-get, as root or with sudo that asks no password
#   boto3, AWS CLI    into .tools/python, at the versions of tests/sdk/requirements.txt
#   AWS SDK for JS    into tests/sdk/node_modules, at the versions of the lock file
set -euo pipefail
cd "$(dirname "$0")/.."

say() { echo "deps: $*" >&2; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif sudo -n true 2>/dev/null; then sudo -n "$@"
  else say "cannot run: $*"; say "not root, and no sudo: install it by hand"; exit 1
  fi
}

# need COMMAND PACKAGE…: the packages are installed when the command is not there.
missing=()
need() {
  local command=$1; shift
  command -v "$command" >/dev/null || missing+=("$@")
}

# knows_batch PYTHON: its boto3 has the batch operations and the type Converse.
knows_batch() {
  "$1" - 2>/dev/null <<'PY'
import boto3, yaml
client = boto3.client("bedrock", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
shape = client.meta.service_model.operation_model("CreateModelInvocationJob").input_shape
assert "modelInvocationType" in shape.members
PY
}

command -v go >/dev/null || { say "Go is missing; see go.mod for the version"; exit 1; }
need gcc gcc libc6-dev # the race detector links with it
if [ -d tests/sdk ]; then
  need node nodejs
  need npm npm
  need python3 python3
fi
if [ ${#missing[@]} -gt 0 ]; then
  say "installing ${missing[*]}"
  as_root apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${missing[@]}" >/dev/null
fi

if [ -f tests/sdk/requirements.txt ] && ! { knows_batch python3 && command -v aws >/dev/null; }; then
  say "installing boto3 and the AWS CLI into .tools/python"
  if ! python3 -m venv .tools/python 2>/dev/null; then
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends python3-venv >/dev/null
    rm -rf .tools/python
    python3 -m venv .tools/python
  fi
  if ! .tools/python/bin/pip install --quiet --disable-pip-version-check -r tests/sdk/requirements.txt; then
    rm -rf .tools/python # so that the next run tries again, and nobody takes it for boto3
    say "boto3 and the AWS CLI could not be installed; tests that need them will say so"
  fi
fi

lock=tests/sdk/package-lock.json
if [ -f "$lock" ] && [ ! tests/sdk/node_modules/.package-lock.json -nt "$lock" ]; then
  say "installing the AWS SDK for JavaScript into tests/sdk/node_modules"
  npm ci --prefix tests/sdk --no-audit --no-fund --silent
  touch tests/sdk/node_modules/.package-lock.json
fi
