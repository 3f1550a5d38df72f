#!/bin/sh
# A route that asks for a key: see docs/plugins/key-auth.md.
set -eu
KEY=$(cat portcullis-data/admin.key)
put() { curl -sSf -H "X-API-KEY: $KEY" -X PUT "http://127.0.0.1:9180/apisix/admin/$1" -d "$2"; echo; }

put consumers '{"username":"alice","plugins":{"key-auth":{"key":"alices-key"}}}'
put routes/1 '{"uri":"/*","plugins":{"key-auth":{}},"upstream":{"nodes":{"127.0.0.1:8000":1}}}'

curl -sS -o /dev/null -w 'without a key: %{http_code}\n' http://127.0.0.1:9080/
curl -sS -o /dev/null -w 'with the key:  %{http_code}\n' -H 'apikey: alices-key' http://127.0.0.1:9080/
