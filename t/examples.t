#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Every worked example loads without a finding, with certificates made for the test.
root=${abs_top_srcdir:-$(dirname "$0")/..}
ringgate=${abs_top_builddir:-.}/ringgate
dir=$(mktemp -d) || exit 99
trap 'rm -rf "$dir"' EXIT

if ! test -x "$ringgate" || ! command -v openssl >/dev/null 2>&1; then
    echo '1..0 # SKIP the program is not built or the openssl command is missing'
    exit 0
fi
mkdir "$dir/tls" && cp "$root"/conf/examples/*.yaml "$dir" && chmod -R u+w "$dir" || exit 99
umask 077
for name in shop svid web; do
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 \
        -subj "/CN=$name.example.com" -keyout "$dir/tls/$name.key" -out "$dir/tls/$name.crt" \
        2>/dev/null || exit 99
done
cp "$dir/tls/svid.crt" "$dir/tls/bundle.crt"

number=0
cp "$root"/conf/examples/ringgate.conf "$dir"
for file in "$dir"/*.yaml; do
    number=$((number + 1))
    if "$ringgate" check --strict --settings "$dir/ringgate.conf" "$file" >"$dir/out" 2>&1; then
        echo "ok $number - $(basename "$file")"
    else
        echo "not ok $number - $(basename "$file")"
        sed 's/^/# /' "$dir/out"
    fi
done
echo "1..$number"
