#!/bin/sh
# Starts a node (`data`) or its sentinel (`sentinel`). The sentinels name the primary; if none answers, it is redis-0.
# Nodes and sentinels share one password, from the secret.
set -eu
REDISCLI_AUTH=$(cat /run/secrets/lpstream/redis_password)
export REDISCLI_AUTH
umask 077
self="$HOSTNAME.redis-nodes"
primary=$(valkey-cli -h redis-sentinel -p 26379 -t 3 --raw sentinel get-master-addr-by-name lpstream 2>/dev/null | head -n 1 || true)
case "$primary" in redis-*) ;; *) primary=redis-0.redis-nodes ;; esac

if [ "$1" = sentinel ]; then
    cat >/tmp/sentinel.conf <<EOF
port 26379
dir /tmp
sentinel resolve-hostnames yes
sentinel announce-hostnames yes
sentinel announce-ip $self
sentinel monitor lpstream $primary 6379 2
sentinel down-after-milliseconds lpstream 5000
sentinel failover-timeout lpstream 15000
sentinel parallel-syncs lpstream 1
requirepass $REDISCLI_AUTH
sentinel sentinel-pass $REDISCLI_AUTH
sentinel auth-pass lpstream $REDISCLI_AUTH
EOF
    exec valkey-sentinel /tmp/sentinel.conf
fi
cat /etc/redis/redis.conf - >/tmp/redis.conf <<EOF
requirepass $REDISCLI_AUTH
masterauth $REDISCLI_AUTH
EOF
set -- valkey-server /tmp/redis.conf --replica-announce-ip "$self"
[ "$primary" = "$self" ] || set -- "$@" --replicaof "$primary" 6379
exec "$@"
