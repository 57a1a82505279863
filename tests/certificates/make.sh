#!/usr/bin/env bash
# Makes the certificates of this folder anew: an authority, a server at localhost and 127.0.0.1, and a client; a client
# that nobody vouches for; and a server that is its own authority. Valid from 2020 for a hundred years, so that no clock of a machine that runs tests is too early.
# They guard nothing: their keys are public.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# `openssl req` and `openssl x509` set the first day only from version 3.4 on; `openssl ca` always did.
cat > "$work/ca.conf" <<CONF
[ca]
default_ca = tests
[tests]
database = $work/index
rand_serial = yes
new_certs_dir = $work
default_md = sha256
unique_subject = no
policy = names
default_startdate = 20200101000000Z
default_enddate = 21200101000000Z
[names]
commonName = supplied
CONF
: > "$work/index"
make() { # name, subject, extensions, signer
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "$1.key" -subj "/CN=$2" -out "$work/csr" 2>/dev/null
  printf '%s\n' "$3" > "$work/ext"
  if [ "$4" = self ]; then signer=(-selfsign -keyfile "$1.key"); else signer=(-cert "$4.pem" -keyfile "$4.key"); fi
  openssl ca -batch -notext -config "$work/ca.conf" -extfile "$work/ext" -in "$work/csr" -out "$1.pem" \
    "${signer[@]}" 2> "$work/said" || { cat "$work/said" >&2; exit 1; }
}
make authority "ckworker test authority" $'basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign' self
make server localhost $'subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth' authority
# A server that stands for AWS behind a proxy that inspects TLS, and for servers of the user's own.
names=()
for zone in amazonaws.com us-east-1.amazonaws.com us-west-2.amazonaws.com dualstack.us-east-1.amazonaws.com \
  us-east-1.api.aws global.api.aws own.example; do names+=("DNS:*.$zone"); done
make aws "ckworker test AWS" "subjectAltName=$(IFS=,; echo "${names[*]}")"$'\nextendedKeyUsage=serverAuth' authority
make client "ckworker test client" "extendedKeyUsage=clientAuth" authority
make stranger "ckworker test stranger" "extendedKeyUsage=clientAuth" self
# What `openssl req -x509` makes by default: an authority that serves by itself.
make selfmade localhost $'basicConstraints=critical,CA:TRUE\nsubjectAltName=DNS:localhost,IP:127.0.0.1' self
rm -f authority.key
