#!/bin/sh
# An image with the agent in it, for a fleet: run inside an unpacked ImageBuilder of OpenWrt 24.10 for your target.
#
#   IVIZONE_URL=https://cloud.example IVIZONE_PROFILE=glinet_gl-mt3000 .../deploy/openwrt/imagebuilder/build.sh PACKAGES_DIR
#
# PACKAGES_DIR holds the two .ipk of `make package-openwrt`. The image has no token and no key in it: an image is copied,
# a token buys one name. Each access point is enrolled once, by hand or by your provisioning.
#
# usteer or a mesh may want more packages: name them in IVIZONE_PACKAGES. Flash: 64 MB is easy, 32 MB fits, 16 MB needs a
# trimmed image, 8 MB never (docs/install-openwrt.md).
set -eu

packages=${1:?usage: build.sh PACKAGES_DIR (the folder of the two .ipk)}
profile=${IVIZONE_PROFILE:?set IVIZONE_PROFILE; make info lists the profiles}
here=$(dirname "$0")
if [ ! -f Makefile ] || [ ! -d packages ]; then
	echo "build.sh: this is no ImageBuilder (no Makefile and packages/ here); unpack one for your target first" >&2
	exit 1
fi

cp "$packages"/ivizone-agent_*_all.ipk "$packages"/python3-structlog_*_all.ipk packages/

overlay=$(mktemp -d)
trap 'rm -rf "$overlay"' EXIT
cp -r "$here/overlay/." "$overlay/"
sed -i "s|@URL@|${IVIZONE_URL:-}|" "$overlay/etc/uci-defaults/91-ivizone-fleet"

make image PROFILE="$profile" FILES="$overlay" \
	PACKAGES="ivizone-agent python3-structlog procd-ujail ${IVIZONE_PACKAGES:-}"

# Not every target's image ends in .bin (.itb, .img.gz), and an ImageBuilder that was used before holds older ones.
image=$(find bin/targets -name "*-$profile-*sysupgrade*" ! -name '*.manifest' -newer "$overlay" 2>/dev/null | head -n 1)
[ -n "$image" ] || image=$(find bin/targets -name "*$profile*combined*.img.gz" -newer "$overlay" 2>/dev/null | head -n 1)
if [ -z "$image" ]; then
	echo "build.sh: make image left no sysupgrade image of $profile in bin/targets; see what it said above (too large for the flash?)" >&2
	exit 1
fi
echo "flash it (an access point that is enrolled already keeps its keys without -n):"
echo "  scp -O $image root@192.168.1.1:/tmp/ivizone-image && ssh root@192.168.1.1 sysupgrade -n /tmp/ivizone-image"
