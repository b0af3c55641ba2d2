#!/bin/sh
# Installs the daemons that the replay tests talk to, and the packages that are named besides. Their
# services are not started: the tests run them in network namespaces of their own.
# Libreswan conflicts with strongSwan's packages, so it is unpacked beside them: into
# $VPNSCOPE_LIBRESWAN, or /var/cache/vpnscope-lab/libreswan.
set -eu
packages="strongswan-swanctl charon-systemd libcharon-extra-plugins libcharon-extauth-plugins
  libstrongswan-extra-plugins libstrongswan-standard-plugins libnss3-tools
  xl2tpd ppp python3-minimal ike-scan gnutls-bin ocserv openconnect openssl iproute2 $*"
libreswan="${VPNSCOPE_LIBRESWAN:-/var/cache/vpnscope-lab/libreswan}"
pluto="$libreswan/usr/libexec/ipsec/pluto"

run=""
[ "$(id -u)" = 0 ] || run=sudo
export DEBIAN_FRONTEND=noninteractive

missing=""
for package in $packages; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q "ok installed" ||
    missing="$missing $package"
done

# Unpacked, and everything it is linked with is there.
has_libreswan() {
  [ -x "$pluto" ] && ! ldd "$pluto" | grep -q "not found"
}

[ -n "$missing" ] || ! has_libreswan || exit 0

# Asked by packages before they start a service: 101 is no.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap '$run rm -f "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' | $run tee "$policy" >/dev/null
  $run chmod 755 "$policy"
fi
$run apt-get update -qq
if ! has_libreswan; then
  missing="$missing $(apt-cache depends libreswan | sed -n 's/^ *|*Depends: \(lib.*\)/\1/p' | tr '\n' ' ')"
fi
# shellcheck disable=SC2086
$run apt-get install -y -qq --no-install-recommends $missing >/dev/null
if [ ! -x "$pluto" ]; then
  folder="$(mktemp -d)"
  (cd "$folder" && apt-get download -qq libreswan 2>/dev/null)
  $run mkdir -p "$libreswan"
  $run dpkg -x "$folder"/libreswan_*.deb "$libreswan"
  rm -rf "$folder"
fi
has_libreswan
