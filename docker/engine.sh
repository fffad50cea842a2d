#!/usr/bin/env bash
# A Docker engine on Debian, with or without a service manager: engine.sh up|down|status
set -euo pipefail

PATH=$PATH:/usr/sbin:/sbin
root=$(cd "$(dirname "$0")/.." && pwd)
state=$root/.mlfeat/docker
pid_file=$state/dockerd.pid

fail() {
  echo "engine.sh: $*" >&2
  exit 1
}

server_version() { timeout 10 docker version --format '{{.Server.Version}}' 2>/dev/null; }

# The process id of the dockerd that `up` started, while it runs: no other command line names this pid file.
own_pid() {
  local pid
  pid=$(cat "$pid_file" 2>/dev/null) || return 1
  grep -qzxF -e "--pidfile=$pid_file" "/proc/$pid/cmdline" 2>/dev/null || return 1
  echo "$pid"
}

status() {
  local version pid
  version=$(server_version) || fail "no Docker engine answers"
  if pid=$(own_pid); then
    echo "Docker engine $version, started here (process $pid)"
  else
    echo "Docker engine $version, not started here"
  fi
}

apt_install() {
  DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
    -o DPkg::Lock::Timeout=120 "$@" </dev/null >>"$state/install.log" 2>&1 ||
    fail "could not install $*; see .mlfeat/docker/install.log"
}

install_engine() {
  command -v apt-get >/dev/null || fail "dockerd is missing and so is apt-get: install a Docker engine by hand"
  apt-get update >"$state/install.log" 2>&1 || true
  apt_install docker.io
  # From Debian 13 on, the command-line client is a package of its own.
  command -v docker >/dev/null || apt_install docker-cli
}

start_engine() {
  rm -f "$pid_file"
  setsid dockerd --pidfile="$pid_file" </dev/null >"$state/dockerd.log" 2>&1 9>&- &
  local process=$! deadline=$((SECONDS + 60))
  until server_version >/dev/null; do
    kill -0 "$process" 2>/dev/null || fail "dockerd ended: $(tail -n 1 "$state/dockerd.log")"
    if ((SECONDS > deadline)); then
      kill "$process"
      fail "dockerd did not answer within 60 s; see .mlfeat/docker/dockerd.log"
    fi
    sleep 0.5
  done
}

up() {
  if server_version >/dev/null; then
    status
    return
  fi
  case ${DOCKER_HOST:-} in
    '' | unix:///var/run/docker.sock | unix:///run/docker.sock) ;;
    *) fail "no engine answers at DOCKER_HOST; unset it to start one on this machine" ;;
  esac
  [ "$(id -u)" = 0 ] ||
    fail "no engine answers you: run this as root to start one, or join the group docker if one runs"
  # A clone keeps its owner, also when root runs this in it.
  [ -d "$root/.mlfeat" ] || install -d -o "$(stat -c %u "$root")" -g "$(stat -c %g "$root")" "$root/.mlfeat"
  mkdir -p "$state"
  exec 9>"$state/lock"
  flock 9
  if ! command -v dockerd >/dev/null || ! command -v docker >/dev/null; then
    install_engine
  fi
  if ! server_version >/dev/null; then
    [ ! -d /run/systemd/system ] || fail "the engine is installed but stopped; start it with: systemctl start docker"
    start_engine
  fi
  status
}

down() {
  local pid deadline=$((SECONDS + 60))
  if ! pid=$(own_pid); then
    echo "No Docker engine that was started here is running"
    return
  fi
  [ "$(id -u)" = 0 ] || fail "run this as root to stop the engine"
  kill "$pid"
  while own_pid >/dev/null; do
    ((SECONDS <= deadline)) || fail "dockerd (process $pid) did not stop within 60 s"
    sleep 0.5
  done
  rm -f "$pid_file"
  echo "Docker engine stopped"
}

case ${1:-} in
  up | down | status) "$1" ;;
  *) fail "usage: engine.sh up|down|status" ;;
esac
