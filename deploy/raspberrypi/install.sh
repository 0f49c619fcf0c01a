#!/bin/sh
# Installs, upgrades and removes the agent on Raspberry Pi OS or Debian (12 and later).
#
#   sudo deploy/raspberrypi/install.sh            install, or upgrade: run it again with a newer checkout
#   sudo deploy/raspberrypi/install.sh rollback   the release before
#   sudo deploy/raspberrypi/install.sh remove     the program; keys, configuration and waiting batches stay
#   sudo deploy/raspberrypi/install.sh purge      these too
#
# Every check comes first, then a new release is made beside the old one and tried, then one link moves: if anything fails
# before that, the running agent and the network are as they were. No interface that serves somebody is touched, ever.
#
# IVIZONE_ROOT puts everything below another folder (for an image, and for the tests).
set -eu

: "${IVIZONE_ROOT:=}"
OPT=$IVIZONE_ROOT/opt/ivizone
ETC=$IVIZONE_ROOT/etc/ivizone
STATE=$IVIZONE_ROOT/var/lib/ivizone
UNITS=$IVIZONE_ROOT/etc/systemd/system
RULES=$IVIZONE_ROOT/etc/udev/rules.d
COMMAND=$IVIZONE_ROOT/usr/local/bin/ivizone-agent
SERVICES="ivizone-monitor.service ivizone-agent.service ivizone-hopper.service"
here=$(cd "$(dirname "$0")" && pwd)
checkout=$(cd "$here/../.." && pwd)

say() { echo "install.sh: $*"; }
fail() {
	echo "install.sh: $*" >&2
	exit 1
}

need() { # PROGRAM PACKAGE
	command -v "$1" >/dev/null || fail "the program '$1' is missing: apt install $2, then run this again; nothing was changed"
}

check() {
	[ "$(id -u)" = 0 ] || [ -n "$IVIZONE_ROOT" ] || fail "run it as root: sudo $0; nothing was changed"
	need python3 python3
	need iw iw
	need ip iproute2
	need systemctl systemd
	python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
		fail "Python 3.11 or newer is needed, this is $(python3 -V 2>&1); use Raspberry Pi OS 12 (bookworm) or later; nothing was changed"
	python3 -c 'import venv, ensurepip' 2>/dev/null ||
		fail "python3 cannot make a virtual environment: apt install python3-venv; nothing was changed"
	[ -f "$checkout/setup.cfg" ] || fail "$checkout is no checkout of Ivizone; run the script where it is; nothing was changed"
}

make_user() {
	id ivizone >/dev/null 2>&1 && return 0
	useradd --system --user-group --home-dir /var/lib/ivizone --no-create-home --shell /usr/sbin/nologin ivizone
}

make_release() { # sets release; a release that does not run is taken away again
	release=$OPT/releases/$(date -u +%Y%m%dT%H%M%S)-$$
	mkdir -p "$OPT/releases"
	trap 'rm -rf "$release"' EXIT
	trap 'exit 1' INT TERM
	python3 -m venv "$release" || fail "the virtual environment could not be made; nothing else was changed"
	"$release/bin/python" -m pip install --quiet --disable-pip-version-check "$checkout" ||
		fail "the agent could not be installed into $release (is the network up?); the running agent is as it was"
	mkdir -p "$release/share/ivizone"
	cp "$checkout/docs/install-raspberrypi.md" "$checkout/docs/agent.example.yaml" "$release/share/ivizone/"
	"$release/bin/ivizone-agent" version >/dev/null || fail "the new release does not run; the running agent is as it was"
	trap - EXIT INT TERM
}

point_to() { # RELEASE: one rename, so that there is always a current one
	ln -sfn "$1" "$OPT/current.new"
	mv -T "$OPT/current.new" "$OPT/current"
}

put() { # FILE TARGET MODE: only where it differs, so that a second run changes nothing
	cmp -s "$1" "$2" && return 0
	mkdir -p "${2%/*}"
	cp "$1" "$2.new"
	chmod "$3" "$2.new"
	mv "$2.new" "$2"
}

put_files() {
	for unit in $SERVICES; do put "$here/$unit" "$UNITS/$unit" 0644; done
	put "$here/70-ivizone.rules" "$RULES/70-ivizone.rules" 0644
	mkdir -p "$ETC" "$STATE" "${COMMAND%/*}"
	for file in agent.yaml radio.env; do
		[ -e "$ETC/$file" ] || put "$here/$file" "$ETC/$file" 0640 # the owner's, once it is there
	done
	chmod 0750 "$ETC"
	chmod 0700 "$STATE"
	chown -R ivizone:ivizone "$ETC" "$STATE"
	ln -sfn /opt/ivizone/current/bin/ivizone-agent "$COMMAND"
}

forget_old() { # the current release and the one before stay
	current=$(readlink "$OPT/current")
	kept=0
	for old in $(find "$OPT/releases" -mindepth 1 -maxdepth 1 -type d | sort -r); do
		[ "$old" = "$current" ] && continue
		kept=$((kept + 1))
		[ "$kept" -le 1 ] || rm -rf "$old"
	done
}

start() {
	systemctl daemon-reload
	udevadm control --reload 2>/dev/null || true
	systemctl enable --quiet ivizone-monitor.service ivizone-agent.service
	if grep -Eq '^[[:space:]]+id:[[:space:]]*[^[:space:]"]' "$ETC/agent.yaml"; then
		systemctl restart ivizone-monitor.service ivizone-agent.service
		systemctl try-restart ivizone-hopper.service
		say "the agent runs: systemctl status ivizone-agent"
	else
		say "enrol it next: sudo -u ivizone ivizone-agent enrol https://YOUR-CLOUD --token TOKEN"
		say "then:          sudo systemctl start ivizone-agent"
	fi
}

install() {
	check
	make_user
	make_release
	put_files
	point_to "$release"
	forget_old
	start
}

rollback() {
	current=$(readlink "$OPT/current" 2>/dev/null) || fail "nothing is installed"
	before=$(find "$OPT/releases" -mindepth 1 -maxdepth 1 -type d | sort -r | grep -vxF "$current" | head -n 1)
	[ -n "$before" ] || fail "there is no release before ${current##*/}"
	point_to "$before"
	systemctl try-restart ivizone-agent.service ivizone-hopper.service
	say "back at ${before##*/}"
}

remove() {
	# shellcheck disable=SC2086  # words
	systemctl disable --quiet --now $SERVICES 2>/dev/null || true
	rm -f "$RULES/70-ivizone.rules"
	udevadm control --reload 2>/dev/null || true
	if [ -x "$OPT/current/bin/python" ]; then
		"$OPT/current/bin/python" -P -m firmware_hooks remove >/dev/null 2>&1 || true
	fi
	for unit in $SERVICES; do rm -f "$UNITS/$unit"; done
	rm -f "$COMMAND"
	rm -rf "$OPT"
	systemctl daemon-reload
	say "removed; kept: $ETC (configuration) and $STATE (keys and waiting batches). All of it: $0 purge"
}

purge() {
	remove
	rm -rf "$ETC" "$STATE"
	userdel ivizone 2>/dev/null || true
	say "configuration, keys and waiting batches are gone as well"
}

case "${1:-install}" in
install | upgrade) install ;;
rollback) rollback ;;
remove) remove ;;
purge) purge ;;
*) fail "unknown word '$1'; use install, upgrade, rollback, remove or purge" ;;
esac
