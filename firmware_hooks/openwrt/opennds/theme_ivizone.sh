#!/bin/sh
# openNDS ThemeSpec: the way from the captive portal to the store's page, without an address (openNDS 10 and later).
#
# Why a ThemeSpec and not openNDS's own forwarding (FAS): at every FAS level above 0 openNDS puts the phone's address into
# the query that it sends to the portal (docs/source/fas.rst, "clientmac"), and its `fas` parameter holds it too. Here the
# page is made on the access point; the portal gets a token, never `fas`.
#
#   1. the phone opens any page   -> this page: a link to the portal with ?visit=TOKEN (of today, says nothing tomorrow)
#   2. the visitor agrees or not  -> the portal keeps the answer under TOKEN
#   3. "go on" on this page       -> we ask the portal  GET URL/consent?visit=TOKEN  and it answers yes, no or open
#                                    yes: the lasting token is made and goes along as &visitor=TOKEN
#                                    yes or no: the phone is let through; nobody has to agree to be let through
#
# libopennds.sh sources this file and calls generate_splash_sequence. It sets clientmac, clientip, gatewayname, fas,
# client_zone and, because we name it in fasvarlist, ivizone_step. We write no log: openNDS's auth_log would put the
# address on disk, so the phone is let through with ndsctl. Settings: /etc/config/ivizone, section portal.
#
# shellcheck disable=SC2034,SC2154  # read and set by libopennds.sh

: "${IVIZONE_LIB:=/usr/lib/ivizone}"

title=theme_ivizone
additionalthemevars=ivizone_step
fasvarlist="${fasvarlist:-} $additionalthemevars"

ivizone_option() { # SECTION OPTION DEFAULT
	ivizone_value=$(uci -q get "ivizone.$1.$2") || ivizone_value=
	echo "${ivizone_value:-$3}"
}

ivizone_token() { # visit|visitor: by standard input, so that no process list shows the address
	echo "$clientmac" | PYTHONPATH=$IVIZONE_LIB python3 -P -m firmware_hooks visitor "$1" \
		--mode "$(ivizone_option privacy mode day)" --life-days "$(ivizone_option portal visitor_key_days 180)" \
		--key-file "$(ivizone_option portal visitor_key_file /etc/ivizone/visitor.key)" 2>/dev/null
}

ivizone_encode() { # for an attribute or a query: what is not plain becomes nothing
	echo "$1" | tr -cd 'A-Za-z0-9._~-'
}

ivizone_link() { # QUERY
	ivizone_site=$(ivizone_encode "$(ivizone_option agent site '')")
	ivizone_zone=$(ivizone_encode "${client_zone:-}")
	echo "$ivizone_url/?site=$ivizone_site&zone=$ivizone_zone$1"
}

ivizone_page() { # LINK
	ivizone_href=$(echo "$1" | sed 's/&/\&amp;/g')
	cat <<-HTML
		<!DOCTYPE html>
		<html><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
		<meta http-equiv="Cache-Control" content="no-store"><title>Wi-Fi</title></head>
		<body style="font-family:sans-serif;margin:2em;max-width:30em">
		<p><a href="$ivizone_href">&#9432;&nbsp; $2</a></p>
		$3
		</body></html>
	HTML
}

ivizone_go_on() {
	ivizone_fas=$(echo "${fas:-}" | tr -cd 'A-Za-z0-9+/=_-')
	cat <<-HTML
		<form action="/opennds_preauth/" method="get">
		<input type="hidden" name="fas" value="$ivizone_fas"><input type="hidden" name="ivizone_step" value="go">
		<button type="submit">OK</button></form>
	HTML
}

ivizone_let_through() {
	ndsctl auth "$clientip" >/dev/null 2>&1 || logger -t ivizone-portal -p daemon.err "ndsctl auth failed; see: ndsctl status"
}

generate_splash_sequence() {
	ivizone_url=$(ivizone_option portal url '')
	case $ivizone_url in
	https://*) ;;
	*)
		# Without a portal nobody is held up, and nothing is asked.
		ivizone_let_through
		logger -t ivizone-portal -p daemon.err "ivizone.portal.url is '$ivizone_url'; set an https:// address"
		return 0
		;;
	esac
	ivizone_url=${ivizone_url%/}
	ivizone_visit=$(ivizone_token visit)
	ivizone_query=${ivizone_visit:+&visit=$ivizone_visit}
	if [ "${ivizone_step:-}" = go ]; then
		ivizone_let_through
		if [ -n "$ivizone_visit" ] &&
			[ "$(uclient-fetch -q -T 5 -O - "$ivizone_url/consent?visit=$ivizone_visit" 2>/dev/null)" = yes ]; then
			ivizone_query="$ivizone_query&visitor=$(ivizone_token visitor)"
		fi
		ivizone_page "$(ivizone_link "$ivizone_query")" Wi-Fi '<p>&#10003;</p>'
	else
		ivizone_page "$(ivizone_link "$ivizone_query")" "Information &middot; Informations &middot; Informa&ccedil;&otilde;es" "$(ivizone_go_on)"
	fi
}

header() { :; }
footer() { exit 0; }
