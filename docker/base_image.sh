#!/usr/bin/env bash
# A small Debian image with Python 3.11, for machines that can pull no image: base_image.sh [TAG]
# DEBIAN_MIRROR names another package mirror than debootstrap's own.
set -euo pipefail

PATH=$PATH:/usr/sbin:/sbin
tag=${1:-mlfeat/base:bookworm}

fail() {
  echo "base_image.sh: $*" >&2
  exit 1
}

docker version >/dev/null 2>&1 || fail "no Docker engine answers; start one with docker/engine.sh up"
if docker image inspect "$tag" >/dev/null 2>&1; then
  echo "$tag is already there"
  exit
fi
[ "$(id -u)" = 0 ] || fail "run this as root: debootstrap needs it"

folder=$(mktemp -d -p "${TMPDIR:-/var/tmp}" mlfeat-base.XXXXXX)
system=$folder/system
log=$folder/log
clean_up() {
  # Only a debootstrap that was killed leaves these mounted.
  for mount in "$system/proc" "$system/sys"; do
    ! mountpoint -q "$mount" || umount -l "$mount"
  done
  # Again, for what such a debootstrap left running may still be writing.
  for _ in 1 2 3; do
    ! rm -rf --one-file-system "$folder" 2>/dev/null || return 0
    sleep 1
  done
  echo "base_image.sh: could not remove $folder" >&2
}
trap clean_up EXIT
trap 'exit 1' HUP INT TERM

if ! command -v debootstrap >/dev/null; then
  command -v apt-get >/dev/null || fail "debootstrap is missing: install it by hand"
  apt-get update >"$log" 2>&1 || true
  DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends -o DPkg::Lock::Timeout=120 \
    debootstrap debian-archive-keyring </dev/null >>"$log" 2>&1 ||
    fail "could not install debootstrap: $(tail -n 1 "$log")"
fi

debootstrap --force-check-gpg --variant=minbase --include=python3,python3-venv,ca-certificates \
  bookworm "$system" ${DEBIAN_MIRROR:+"$DEBIAN_MIRROR"} >"$log" 2>&1 ||
  fail "debootstrap failed: $(grep -v '^I: ' "$log" | tail -n 3)"

rm -rf "$system"/var/{lib/apt/lists,cache/apt}/* "$system"/usr/share/{man,locale}/* "$system"/var/log/*
find "$system/usr/share/doc" -type f ! -name copyright -delete
# This machine's own name and resolver, which debootstrap copies, stay out, as do device files.
tar -C "$system" --numeric-owner --exclude='./dev/*' --exclude=./etc/hostname --exclude=./etc/resolv.conf -c . |
  docker import --change 'CMD ["python3"]' - "$tag" >/dev/null
echo "$tag is made"
