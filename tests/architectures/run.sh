#!/bin/bash
# The unit tests of the formats (dot11, wire, privacy, spool) under Python of another processor, emulated by qemu's user mode.
#
#   run.sh [ARCHITECTURE...]     Debian's names; default: s390x (big-endian, as ath79's mips) and armhf (32 bits)
#
# Debian's Python and the tests' packages of that architecture are unpacked into a folder of the user's cache: no chroot, no binfmt, and
# nothing of the machine's own package system is changed. Exit 77 and the reason where that cannot be done here.
#
#   IVIZONE_ARCHITECTURES   where they are unpacked        (default: the user's cache folder)
#   IVIZONE_TESTS           other tests than TESTS below
#
# Left out: what asks scapy or tshark (tests/*/test_*_oracle.py), and what looks into the memory of its own process
# (test_forgetting.py), which here is the emulator's. Hypothesis draws fewer examples (fewer.py): emulated is twenty times slower.
set -euo pipefail

HERE=$(dirname "$(realpath "$0")")
CHECKOUT=$(realpath "$HERE/../..")
CACHE=${IVIZONE_ARCHITECTURES:-${XDG_CACHE_HOME:-$HOME/.cache}/ivizone-architectures}
SUITE=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release 2>/dev/null)
SUITE=${SUITE:-bookworm}
KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg
PACKAGES="python3-pytest python3-hypothesis python3-cbor2 python3-yaml python3-cryptography"
TESTS=${IVIZONE_TESTS:-tests/agent/dot11/test_decoder.py tests/wire tests/agent/privacy/test_ratchet.py
       tests/agent/spool/test_directory.py tests/agent/spool/test_evictions.py tests/agent/spool/test_tiered.py}

skip() { echo "test-architectures: skipped: $*" >&2; exit 77; }

emulator() { # Debian's name of an architecture: qemu's program
  case $1 in
    s390x | mipsel | ppc64el | riscv64) echo "qemu-${1/ppc64el/ppc64le}-static" ;;
    armhf | armel) echo qemu-arm-static ;;
    arm64) echo qemu-aarch64-static ;;
    *) skip "no emulator is known for '$1'; use s390x, armhf, mipsel or arm64" ;;
  esac
}

need_emulator() {
  command -v "$1" >/dev/null && return
  [ "$(id -u)" = 0 ] || skip "$1 is not installed; on Debian: apt-get install qemu-user-static"
  echo "Installing qemu-user-static (Debian)" >&2
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends qemu-user-static; } >/dev/null 2>&1
  command -v "$1" >/dev/null || skip "qemu-user-static could not be installed"
}

unpack() { # ARCHITECTURE FOLDER: its Python and packages, once
  local arch=$1 folder=$2 mirror deb
  [ -e "$folder/done" ] && return
  command -v dpkg-deb >/dev/null || skip "this is no Debian, so there are no packages of $arch"
  [ -e "$KEYRING" ] || skip "Debian's keys ($KEYRING) are not installed; on Debian: apt-get install debian-archive-keyring"
  # shellcheck disable=SC2016  # apt-get fills it in
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 2>/dev/null | grep -v security | head -n 1) || true
  [ -n "$mirror" ] || skip "no Debian package source is set up"
  echo "Unpacking Debian's Python for $arch (20 MB, once)" >&2
  rm -rf "$folder"; mkdir -p "$folder"/{apt/lists/partial,cache/archives/partial,root,pure}
  echo "deb [signed-by=$KEYRING] $mirror $SUITE main" >"$folder/sources.list"
  : >"$folder/apt/status"
  cat >"$folder/apt.conf" <<CONF
APT { Architecture "$arch"; Architectures { "$arch"; }; Install-Recommends "false"; Sandbox::User "root"; }
Dir { State "$folder/apt"; State::status "$folder/apt/status"; Cache "$folder/cache"; Etc { sourcelist "$folder/sources.list"; sourceparts "-"; } }
CONF
  export APT_CONFIG=$folder/apt.conf
  # shellcheck disable=SC2086  # PACKAGES is a list of words
  { apt-get update -qq && apt-get install -y -qq --download-only $PACKAGES; } >"$folder/apt.log" 2>&1 ||
    skip "Debian's packages of $arch could not be fetched: $(grep -m1 ^E: "$folder/apt.log" || echo "see $folder/apt.log")"
  unset APT_CONFIG
  for deb in "$folder"/cache/archives/*.deb; do dpkg-deb -x "$deb" "$folder/root"; done
  rm -rf "$folder/cache"
  cp -r "$CHECKOUT"/.venv/lib/python3*/site-packages/structlog "$folder/pure/" || skip "structlog is not in .venv; run: make setup"
  touch "$folder/done"
}

run() { # ARCHITECTURE
  local arch=$1 qemu folder python
  qemu=$(emulator "$arch")
  need_emulator "$qemu"
  folder=$CACHE/$SUITE-$arch
  unpack "$arch" "$folder"
  python=$(echo "$folder"/root/usr/bin/python3.[0-9]*)
  local path=$CHECKOUT:$folder/root/usr/lib/python3/dist-packages:$folder/pure:$HERE
  local emulated=("$qemu" -L "$folder/root" -E "PYTHONHOME=$folder/root/usr" -E "PYTHONPATH=$path" -E PYTHONDONTWRITEBYTECODE=1 "$python" -S)
  "${emulated[@]}" -c 'import platform, sys; print(f"{platform.machine()}: Python {platform.python_version()}, {sys.byteorder}-endian, {8 * tuple.__itemsize__} bits")'
  # shellcheck disable=SC2086  # TESTS is a list of words
  (cd "$CHECKOUT" && "${emulated[@]}" -m pytest -q -p no:cacheprovider -p fewer --hypothesis-profile emulated $TESTS)
}

for arch in "${@:-s390x armhf}"; do
  for one in $arch; do run "$one"; done
done
