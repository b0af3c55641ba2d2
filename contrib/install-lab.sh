#!/bin/sh
# Installs the daemons that the replay tests talk to, and the programs that live capture is compared
# with. Their services are not started: the tests run them in network namespaces of their own.
set -eu
packages="strongswan-swanctl charon-systemd libcharon-extra-plugins libstrongswan-extra-plugins
  libstrongswan-standard-plugins ike-scan gnutls-bin openssl iproute2 tshark
  tcpdump"
missing=""
for package in $packages; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q "ok installed" || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
run=""
[ "$(id -u)" = 0 ] || run=sudo
export DEBIAN_FRONTEND=noninteractive
$run apt-get update -qq
# shellcheck disable=SC2086
$run apt-get install -y -qq --no-install-recommends $missing >/dev/null
