#!/bin/sh
# A service that several routes share, a request id on every request, metrics, and a path that is rewritten on the way.
set -eu
KEY=$(cat portcullis-data/admin.key)
put() { curl -sSf -H "X-API-KEY: $KEY" -X PUT "http://127.0.0.1:9180/apisix/admin/$1" -d "$2"; echo; }

put global_rules/1 '{"plugins":{"request-id":{},"prometheus":{}}}'
put upstreams/api '{"type":"roundrobin","nodes":{"127.0.0.1:8000":1},"timeout":{"connect":2,"send":10,"read":10}}'
put services/api '{"upstream_id":"api","plugins":{"key-auth":{"hide_credentials":true}}}'
put consumers '{"username":"partner","plugins":{"key-auth":{"key":"partners-key"}}}'
put routes/partners '{"uri":"/partners/*","methods":["GET"],"service_id":"api","plugins":{"proxy-rewrite":{"regex_uri":["^/partners/(.*)","/$1"]}}}'

curl -sS -o /dev/null -w 'without a key: %{http_code}\n' http://127.0.0.1:9080/partners/
curl -sS -o /dev/null -w 'with the key:  %{http_code}\n' -H 'apikey: partners-key' http://127.0.0.1:9080/partners/
curl -sS -o /dev/null -w 'with POST:     %{http_code}\n' -H 'apikey: partners-key' -X POST http://127.0.0.1:9080/partners/
