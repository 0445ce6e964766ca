#!/usr/bin/env bash
# Builds the Go programs of the test cluster and prints the folder they lie in (the last line of standard output).
# The folder is named after the sources and their locked versions, so a second call costs nothing. First build: about 8 minutes on
# two cores; with Go's build cache warm: about one.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repo=$(cd "$here/../.." && pwd)

hash=$(cd "$here" && cat controlplane/*.go controlplane/go.{mod,sum} kwok/*.go kwok/go.{mod,sum} | sha256sum | cut -c1-16)
out=$repo/target/cluster/$hash
mkdir -p "$out"

exec 9>"$repo/target/cluster/build.lock"
flock 9

if ! command -v go >/dev/null; then
  echo "the test cluster needs Go (1.26 or newer) to build the Kubernetes control plane: https://go.dev/dl" >&2
  exit 1
fi

build() { # folder, linker flags
  [ -x "$out/$1" ] && return
  echo "building tests/cluster/$1 (once; minutes when Go's build cache is cold) …" >&2
  (cd "$here/$1" && go build -trimpath -buildvcs=false -ldflags "-s -w $2" -o "$out/$1.part" .)
  mv "$out/$1.part" "$out/$1"
}
version=$(sed -n 's|.*k8s.io/kubernetes v\([0-9.]*\)$|\1|p' "$here/controlplane/go.mod" | head -1)
IFS=. read -r major minor _ <<<"$version"
v=k8s.io/component-base/version
build kwok ""
# Without these the API server calls itself v0.0.0 and clients that check versions refuse it.
build controlplane "-X $v.gitVersion=v$version -X $v.gitMajor=$major -X $v.gitMinor=$minor"
echo "$out"
