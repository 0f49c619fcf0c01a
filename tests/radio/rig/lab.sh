# Helpers for use inside the guest:  . /rig/lab.sh
# shellcheck shell=dash
# Radios are wlan0, wlan1, ... on phy0, phy1, ...; all hear each other on the same channel.

lab_ap() {        # IFACE CHANNEL SSID [SSID2...]: an open access point, one BSS for each SSID
  local ifc=$1 ch=$2 n=0 s; shift 2
  {
    printf 'interface=%s\ndriver=nl80211\nctrl_interface=/run/hostapd\nhw_mode=%s\nchannel=%s\nieee80211n=1\nssid=%s\n' \
      "$ifc" "$([ "$ch" -gt 14 ] && echo a || echo g)" "$ch" "$1"
    shift
    for s in "$@"; do n=$((n+1)); printf 'bss=%s_%d\nbssid=02:00:00:00:ff:%02x\nssid=%s\n' "$ifc" $n $n "$s"; done
  } >"/run/ap-$ifc.conf"
  hostapd -B -P "/run/ap-$ifc.pid" "/run/ap-$ifc.conf" >"/run/ap-$ifc.log" 2>&1 || { cat "/run/ap-$ifc.log"; return 1; }
}
lab_ap_stop() {   # IFACE: and wait until hostapd has given the radio back, which it says by removing its file
  local n=0
  kill "$(cat "/run/ap-$1.pid")"
  while [ -e "/run/ap-$1.pid" ] && [ $n -lt 100 ]; do n=$((n+1)); sleep 0.1; done
}
lab_monitor_beside() { iw dev "$1" interface add "$2" type monitor && ip link set "$2" up; }  # IFACE NEW: on the same radio
lab_monitor() {   # IFACE CHANNEL: the whole radio listens
  ip link set "$1" down; iw dev "$1" set type monitor && ip link set "$1" up && iw dev "$1" set channel "$2"
}
lab_phy() { cat "/sys/class/net/$1/phy80211/name"; }
lab_signal() {    # IFACE DBM: how strong others hear this radio (-100..-1)
  # The file takes its number unsigned, so a negative one goes in as two's complement.
  python3 -c 'import sys; print((1 << 64) + int(sys.argv[1]))' "$2" >"/sys/kernel/debug/ieee80211/$(lab_phy "$1")/hwsim/rx_rssi"
}
lab_scan() {      # IFACE FREQ [random] [SSID...]: one active scan ("iw scan" itself can spin here)
  local ifc=$1 freq=$2 r=; shift 2
  [ "${1:-}" = random ] && { r=randomise; shift; }
  ip link set "$ifc" up
  if [ $# -gt 0 ]; then iw dev "$ifc" scan trigger freq $freq $r ssid "$@"; else iw dev "$ifc" scan trigger freq $freq $r; fi
}
lab_client() {    # IFACE FREQ fixed|random SSID: wpa_supplicant that looks for a network again and again
  local x=
  [ "$3" = random ] && x='mac_addr=1\npreassoc_mac_addr=1\nrand_addr_lifetime=5\n'
  printf "ctrl_interface=/run/wpa-$1\nautoscan=periodic:4\n${x}network={\nssid=\"$4\"\nscan_ssid=1\nkey_mgmt=NONE\nscan_freq=$2\n}\n" >"/run/wpa-$1.conf"
  wpa_supplicant -B -i "$1" -c "/run/wpa-$1.conf" -P "/run/wpa-$1.pid" >"/run/wpa-$1.log" 2>&1
}
