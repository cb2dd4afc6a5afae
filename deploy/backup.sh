#!/bin/sh
# Back up what Docker Compose runs, while it runs, prove the backup, and restore it: see docs/backup.md. A folder of its
# own for the backup, on another disk:
#
#   deploy/backup.sh save /srv/pacsd-backup       every night; copies only what is new or damaged
#   deploy/backup.sh verify /srv/pacsd-backup     every week; reads all of it again and compares
#   deploy/backup.sh restore /srv/pacsd-backup    into volumes that are empty, as on a new machine
#
# Exit status 0: all is well. 1: faults were found and are named, everything else was done. 2: it could not be finished.
set -eu
cd "$(dirname "$0")/.."
# A dump is patient data.
umask 077

compose() {
    if docker compose version > /dev/null 2>&1; then docker compose "$@"; else docker-compose "$@"; fi
}

die() {
    echo "backup.sh: $*" >&2
    exit 2
}

# As root: the files belong to the container's user, the backup to whoever may write there.
with_volume() {
    program=$1
    shift
    docker run --rm --interactive --network none --user 0 --volume "$volume:/var/lib/pacsd" --volume "$backup:/backup" \
        --entrypoint "$program" "$image" "$@"
}

# With the image's Python; as an argument, because standard input is the dump's.
backup_py() {
    with_volume python -c "$(cat deploy/backup.py)" "$@"
}

save() {
    if [ -z "$database" ]; then
        backup_py save --store /var/lib/pacsd/store --index /var/lib/pacsd/index.db /backup < /dev/null
        return
    fi
    exec 9> "$backup/index.dump.lock"
    flock --nonblock 9 || die "another run is at work on $backup"
    # Most files are copied before the dump, so that few can have given way to others when it is made.
    status=0
    backup_py save --store /var/lib/pacsd/store /backup < /dev/null || status=$?
    [ "$status" -le 1 ] || exit "$status"
    dumped=0
    save_with_dump || dumped=$?
    if [ "$dumped" = 3 ]; then
        dumped=0
        save_with_dump --last-attempt || dumped=$?
    fi
    [ "$dumped" = 0 ] || exit "$dumped"
    exit "$status"
}

# A dump, and once more all that it names. pg_restore reads the dump to its end: so it is proved, too.
save_with_dump() {
    docker exec "$database" pg_dump --username=pacsd --format=custom pacsd > "$backup/index.dump.part" || return 2
    docker exec --interactive "$database" pg_restore --file=- < "$backup/index.dump.part" |
        backup_py save --store /var/lib/pacsd/store --dump "$@" /backup
}

verify() {
    if [ -z "$database" ]; then
        backup_py verify /backup < /dev/null
    else
        [ -s "$backup/index.dump" ] || die "$backup/index.dump is not there"
        docker exec --interactive "$database" pg_restore --file=- < "$backup/index.dump" | backup_py verify --dump /backup
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
# Halves that a former version of this script has left.
find /var/lib/pacsd/store -path '/var/lib/pacsd/store/[0-9]*' -name '*.part' -delete
[ ! -e /backup/index.db ] || cp -a /backup/index.db /var/lib/pacsd/index.db
chown -R 10001:10001 /var/lib/pacsd
# What was acknowledged shall survive a power cut from now on.
sync
INSIDE
    if [ -n "$database" ]; then
        docker exec --interactive "$database" pg_restore --username=pacsd --dbname=pacsd --clean --if-exists \
            --single-transaction < "$backup/index.dump"
    fi
    compose up --detach
}

[ $# = 2 ] && [ -d "$2" ] || die "use: backup.sh save|verify|restore FOLDER, with a folder that is there"
backup=$(cd "$2" && pwd)
container=$(compose ps -q pacsd)
[ -n "$container" ] || die "there is no container of pacsd: docker compose up --detach"
image=$(docker inspect --format '{{.Image}}' "$container")
volume=$(docker inspect --format \
    '{{range .Mounts}}{{if eq .Destination "/var/lib/pacsd"}}{{or .Name .Source}}{{end}}{{end}}' "$container")
database=$(compose ps -q db 2> /dev/null || true)
case $1 in
save) save ;;
verify) verify ;;
restore) restore ;;
*) die "use: backup.sh save|verify|restore FOLDER" ;;
esac
