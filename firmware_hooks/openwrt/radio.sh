#!/bin/sh
# The monitor interface as /etc/config/ivizone wants it. Called by the init script, by hotplug and, through the agent's
# option source.restore_command, when the agent has lost it. Safe to call at any time and twice: the plan finds what is
# there and does the rest, or nothing.
#
#   radio.sh apply      make it (a last word that is not "apply" is the agent's condition, and means apply)
#   radio.sh remove     remove it
#   radio.sh keep       look every five seconds whether it is there and up, and apply if not; until stopped. The agent
#                       cannot do that: it has no right to change an interface. A shell is 1 MB, Python would be 15
#   radio.sh later      apply in two seconds, without waiting: hotplug must not be held up, and a `wifi` restart takes
#                       the radio's interfaces away one by one
#
# Source: docs/adr/0012-channel-plan.md, OpenWrt's hotplug.d. Shell: busybox ash, dash.

: "${IVIZONE_LIB:=/usr/lib/ivizone}"
: "${IVIZONE_LOCK:=/var/lock/ivizone-radio.lock}"
: "${IVIZONE_SYS:=/sys}"
: "${IVIZONE_LOOK_S:=5}"

option() { # SECTION OPTION DEFAULT
	option_value=$(uci -q get "ivizone.$1.$2") || option_value=
	echo "${option_value:-$3}"
}

hooks() {
	PYTHONPATH=$IVIZONE_LIB python3 -P -m firmware_hooks "$@"
}

say() { # PRIORITY
	while read -r line; do logger -t ivizone-radio -p "daemon.$1" "$line"; done
}

apply() {
	# Only the source 'monitor' needs an interface of its own.
	[ "$(option source name hostapd)" = monitor ] || return 0
	set -- --interface "$(option source interface mon0)"
	radio=$(option radio phy '')
	[ -n "$radio" ] && set -- "$@" --radio "$radio"
	[ "$(option radio take 0)" = 1 ] && set -- "$@" --take-radio
	said=$(hooks apply "$@" 2>&1)
	code=$?
	if [ "$code" = 0 ]; then echo "$said" | say notice; else echo "$said" | say err; fi
	return "$code"
}

is_listening() { # INTERFACE: there, and up (IFF_UP, bit 0 of its flags)
	flags=$(cat "$IVIZONE_SYS/class/net/$1/flags" 2>/dev/null) || return 1
	[ $((flags & 1)) = 1 ]
}

keep() {
	# After a failure the next try comes later and later: a radio that is gone for good must not fill the log.
	pause=$IVIZONE_LOOK_S
	while sleep "$pause"; do
		if is_listening "$(option source interface mon0)" || once apply; then
			pause=$IVIZONE_LOOK_S
		elif [ "$pause" -lt 300 ]; then
			pause=$((pause * 2))
		fi
	done
}

once() { # COMMAND: one after the other, because two plans at a time would each see half of the other's work
	(
		flock 9
		"$1"
	) 9>"$IVIZONE_LOCK"
}

case "${1:-apply}" in
later)
	(
		sleep "${IVIZONE_DELAY:-2}"
		once apply
	) </dev/null >/dev/null 2>&1 &
	;;
keep) keep ;;
remove) hooks remove --interface "$(option source interface mon0)" ;;
*) once apply ;;
esac
