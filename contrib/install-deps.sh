#!/bin/sh
# Installs what a bare Debian machine lacks to build and test: a C linker, libpcap's headers, and
# `ip` for the tests in network namespaces.
set -eu
need=""
command -v cc >/dev/null 2>&1 || need="$need build-essential"
[ -e /usr/include/pcap/pcap.h ] || need="$need libpcap-dev"
command -v ip >/dev/null 2>&1 || [ -x /usr/sbin/ip ] || need="$need iproute2"
command -v valgrind >/dev/null 2>&1 || need="$need valgrind"
[ -n "$need" ] || exit 0
run=""
[ "$(id -u)" = 0 ] || run=sudo
export DEBIAN_FRONTEND=noninteractive
$run apt-get update -qq
# shellcheck disable=SC2086
$run apt-get install -y -qq --no-install-recommends $need >/dev/null
