#!/usr/bin/env bash
# Makes the certificates of this folder anew: an authority, a server at localhost and 127.0.0.1, and a client; and a client
# that nobody vouches for. Valid for a hundred years. They guard nothing: their keys are public.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
days=36500
make() { # name, subject, extensions, signer
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "$1.key" -subj "/CN=$2" -out "$1.csr" 2>/dev/null
  printf '%s\n' "$3" > "$1.ext"
  if [ "$4" = self ]; then signer=(-signkey "$1.key"); else signer=(-CA "$4.pem" -CAkey "$4.key" -CAcreateserial); fi
  openssl x509 -req -in "$1.csr" -days "$days" -extfile "$1.ext" -out "$1.pem" "${signer[@]}" 2>/dev/null
  rm -f "$1.csr" "$1.ext"
}
make authority "ckworker test authority" $'basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign' self
make server localhost $'subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth' authority
make client "ckworker test client" "extendedKeyUsage=clientAuth" authority
make stranger "ckworker test stranger" "extendedKeyUsage=clientAuth" self
rm -f authority.key authority.srl
