#!/bin/sh
# Makes the secrets that compose.yaml mounts at /run/secrets, in docker/secrets or the folder given; those there stay.
set -eu
folder=${1:-$(dirname "$0")/secrets}
# Nobody else enters the folder. The files are bind mounts, which containers read as users of their own.
mkdir -p "$folder"
chmod 700 "$folder"
umask 022

random() {
    od -An -v -N24 -tx1 /dev/urandom | tr -d ' \n'
}

for name in postgres_password serving_secret log_key; do
    [ -s "$folder/$name" ] || random >"$folder/$name"
done
[ -s "$folder/database_url" ] || printf 'postgresql+psycopg://controlplane:%s@postgres/controlplane' \
    "$(cat "$folder/postgres_password")" >"$folder/database_url"
