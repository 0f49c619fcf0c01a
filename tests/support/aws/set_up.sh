#!/usr/bin/env bash
# Lays out what the AWS tests run on below the folder named first (build/aws): a virtual environment, the emulators from npm, and the
# Kinesis Client Library with its jars. What cannot be had is said; its tests are skipped with the reason.
set -euo pipefail
folder=$1 python=${2:-python3}
node="kinesalite@3.3.3 kinesis-local@0.6.2"
kcl=3.1.3 # the newest whose own jars Maven Central serves: docs/adr/0013-kinesis.md
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
say() { echo "test-aws: $*" >&2; }

debian() { # COMMAND-OR-FILE PACKAGE
  { command -v "$1" || [ -e "$1" ] || [ -e "/usr/sbin/$1" ]; } >/dev/null && return
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    say "installing $2 (Debian)"
    [ -n "${updated:-}" ] || { apt-get update -qq; updated=1; }
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$2" >/dev/null || say "$2 could not be installed"
  else
    say "$2 is not installed and we are not root (apt-get install $2)"
  fi
}
debian haproxy haproxy
debian /usr/lib/postgresql/15/bin/initdb postgresql-15
debian java openjdk-17-jre-headless
debian node nodejs
debian npm npm
debian mvn maven

if [ ! -x "$folder/nginx/usr/sbin/nginx" ] && command -v apt-get >/dev/null; then
  say "nginx, unpacked and not installed: Debian's package would start it on port 80"
  mkdir -p "$folder/nginx" && (cd "$folder/nginx" && apt-get download -qq nginx && dpkg -x nginx_*.deb .) >/dev/null 2>&1 || say "nginx could not be had; its test will be skipped"
fi

pip="$folder/venv/bin/python -m pip --quiet --disable-pip-version-check"
if [ ! -e "$folder/venv/.done" ] || [ setup.cfg -nt "$folder/venv/.done" ]; then
  say "Python packages"
  test -x "$folder/venv/bin/python" || "$python" -m venv "$folder/venv"
  $pip install --editable '.[test-aws]' 'setuptools<81' wheel
  touch "$folder/venv/.done"
fi
if [ ! -d "$folder/node/node_modules/kinesis-local" ]; then
  say "emulators from npm"
  npm install --silent --no-fund --no-audit --prefix "$folder/node" $node || say "the emulators could not be installed"
fi

jars() { # by Maven's own client, which knows the machine's mirrors; amazon-kclpy by itself asks Maven Central's host only
  local source
  $pip download --no-deps --no-binary :all: --no-build-isolation --dest "$folder/kcl" "amazon-kclpy==$kcl"
  tar -xf "$folder"/kcl/amazon?kclpy-$kcl.tar.gz -C "$folder/kcl"
  source=$(ls -d "$folder"/kcl/amazon?kclpy-$kcl/)
  # Its pom lists the jars and has no name of its own.
  sed 's#<modelVersion>4.0.0</modelVersion>#&<groupId>ivizone</groupId><artifactId>kcl-jars</artifactId><version>1</version>#' \
    "$source/pom.xml" >"$folder/kcl/pom.xml"
  mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies -f "$folder/kcl/pom.xml" \
    -DoutputDirectory="$source/amazon_kclpy/jars" -DexcludeTransitive=true >"$folder/kcl/mvn.log" 2>&1
  $pip install --no-deps --no-build-isolation "$source"
}
if ! "$folder/venv/bin/python" -c 'import amazon_kclpy' 2>/dev/null; then
  say "the Kinesis Client Library $kcl"
  { command -v mvn >/dev/null && jars; } || $pip install --no-deps "amazon-kclpy==$kcl" \
    || say "the Kinesis Client Library could not be installed; its tests will be skipped"
fi
