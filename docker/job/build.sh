#!/usr/bin/env bash
# Builds the image that jobs run in: build.sh [TAG]
# BASE_IMAGE: what to build on. REQUIREMENTS: packages to add. EXTRA_CA_FILE: a CA file for pip to trust.
set -euo pipefail

docker=$(cd "$(dirname "$0")/.." && pwd)
tag=${1:-mlfeat/job:latest}

fail() {
  echo "build.sh: $*" >&2
  exit 1
}

# A setting of pip on this machine: its variable, else what its configuration files say.
pip_configuration=$(python3 -m pip config list 2>/dev/null || true)
pip_setting() {
  local name=PIP_${1^^}
  name=${name//-/_}
  echo "${!name:-$(sed -n "s/^global\.$1='\(.*\)'\$/\1/p" <<<"${pip_configuration//\\n/ }")}"
}

docker version >/dev/null 2>&1 || fail "no Docker engine answers; start one with docker/engine.sh up"

base=${BASE_IMAGE:-python:3.11-slim}
if [ -z "${BASE_IMAGE:-}" ] && ! docker image inspect "$base" >/dev/null 2>&1 &&
  ! timeout 300 docker pull --quiet "$base" >/dev/null 2>&1; then
  base=mlfeat/base:bookworm
  "$docker/base_image.sh" "$base" >/dev/null
fi

context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
trap 'exit 1' HUP INT TERM
mkdir "$context/requirements"
cp "$docker/../requirements/locked.txt" "$context/requirements/"
arguments=(--build-arg "BASE_IMAGE=$base" --build-arg "REQUIREMENTS=${REQUIREMENTS:-}")

[ -z "${EXTRA_CA_FILE:-}" ] || [ -f "$EXTRA_CA_FILE" ] || fail "EXTRA_CA_FILE is no file: $EXTRA_CA_FILE"
for file in "${EXTRA_CA_FILE:-}" "$(pip_setting cert)" "${SSL_CERT_FILE:-}" /etc/ssl/certs/ca-certificates.crt; do
  if [ -f "$file" ]; then
    install -m 644 "$file" "$context/extra-ca.pem"
    arguments+=(--build-arg EXTRA_CA_FILE=extra-ca.pem)
    break
  fi
done

for key in index-url extra-index-url find-links trusted-host default-timeout retries; do
  value=$(pip_setting "$key" | tr -s '[:space:]' '\n')
  # The build sees no folder of this machine.
  case $key in *-url | find-links) value=$(grep -E '^https?://' <<<"$value" || true) ;; esac
  if [ -n "$value" ]; then
    name=PIP_${key^^}
    name=${name//-/_}
    # By its name alone, so that no address shows in the list of processes.
    export "$name=$(paste -sd ' ' <<<"$value")"
    arguments+=(--build-arg "$name")
  fi
done

output=$(docker build --force-rm --network host --tag "$tag" "${arguments[@]}" \
  --file "$docker/job/Dockerfile" "$context" 2>&1) || fail "the build failed:"$'\n'"$(tail -n 25 <<<"$output")"
echo "$tag is built on $base"
