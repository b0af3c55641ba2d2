#!/bin/sh
# Installs what a bare Debian machine lacks to build and test: a C linker and libpcap's headers.
set -eu
need=""
command -v cc >/dev/null 2>&1 || need="$need build-essential"
[ -e /usr/include/pcap/pcap.h ] || need="$need libpcap-dev"
[ -n "$need" ] || exit 0
run=""
[ "$(id -u)" = 0 ] || run=sudo
export DEBIAN_FRONTEND=noninteractive
$run apt-get update -qq
# shellcheck disable=SC2086
$run apt-get install -y -qq --no-install-recommends $need >/dev/null
