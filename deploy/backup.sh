#!/bin/sh
# Back up what Docker Compose runs, while it runs, and restore it. A folder of its own for the backup, on another disk:
#
#   deploy/backup.sh save /srv/pacsd-backup       every night; copies only what is new
#   deploy/backup.sh restore /srv/pacsd-backup    into volumes that are empty, as on a new machine
set -eu
cd "$(dirname "$0")/.."

compose() {
    if docker compose version > /dev/null 2>&1; then docker compose "$@"; else docker-compose "$@"; fi
}

die() {
    echo "backup.sh: $*" >&2
    exit 1
}

# As root: the files belong to the container's user, the backup to whoever may write there.
with_volume() {
    # shellcheck disable=SC2086  # $2 is several arguments
    docker run --rm --interactive --network none --user 0 --volume "$volume:/var/lib/pacsd" --volume "$backup:/backup" \
        --entrypoint "$1" "$image" $2
}

save() {
    if [ -n "$database" ]; then
        # Once more behind the dump, so that what it names meanwhile is there too.
        with_volume python "- --store /var/lib/pacsd/store /backup" < deploy/backup.py
        docker exec "$database" pg_dump --username=pacsd --format=custom pacsd > "$backup/index.dump.part"
        mv "$backup/index.dump.part" "$backup/index.dump"
        with_volume python "- --store /var/lib/pacsd/store /backup" < deploy/backup.py
    else
        with_volume python "- --store /var/lib/pacsd/store --index /var/lib/pacsd/index.db /backup" < deploy/backup.py
    fi
}

volume_is_empty() {
    with_volume sh -s << 'INSIDE'
set -eu
[ -d /var/lib/pacsd/store ] || exit 0
# Not within the test: that would take a search that failed for one that found nothing.
image=$(find /var/lib/pacsd/store -name '*.dcm' -print -quit)
[ -z "$image" ]
INSIDE
}

restore() {
    [ -d "$backup/store" ] || die "$backup/store is not there: name the folder that 'save' was given"
    [ -z "$database" ] || [ -s "$backup/index.dump" ] || die "$backup/index.dump is not there: this is a backup of SQLite"
    [ -n "$database" ] || [ -s "$backup/index.db" ] || die "$backup/index.db is not there: this is a backup of PostgreSQL"
    refusal="the volume holds images; restore into a new one (COMPOSE_PROJECT_NAME in .env)"
    volume_is_empty || die "$refusal"
    compose stop pacsd
    # Something may have come since.
    volume_is_empty || { compose start pacsd; die "$refusal"; }
    with_volume sh -s << 'INSIDE'
set -eu
rm -rf /var/lib/pacsd/store /var/lib/pacsd/index.db*
cp -a /backup/store /var/lib/pacsd/store
find /var/lib/pacsd/store -name '*.part' -delete
[ ! -e /backup/index.db ] || cp -a /backup/index.db /var/lib/pacsd/index.db
chown -R 10001:10001 /var/lib/pacsd
INSIDE
    if [ -n "$database" ]; then
        docker exec --interactive "$database" pg_restore --username=pacsd --dbname=pacsd --clean --if-exists \
            --single-transaction < "$backup/index.dump"
    fi
    compose up --detach
}

[ $# = 2 ] && [ -d "$2" ] || die "use: backup.sh save|restore FOLDER, with a folder that is there"
backup=$(cd "$2" && pwd)
container=$(compose ps -q pacsd)
[ -n "$container" ] || die "there is no container of pacsd: docker compose up --detach"
image=$(docker inspect --format '{{.Image}}' "$container")
volume=$(docker inspect --format \
    '{{range .Mounts}}{{if eq .Destination "/var/lib/pacsd"}}{{or .Name .Source}}{{end}}{{end}}' "$container")
database=$(compose ps -q db 2> /dev/null || true)
case $1 in
save) save ;;
restore) restore ;;
*) die "use: backup.sh save|restore FOLDER" ;;
esac
