#!/bin/sh
# PostgreSQL's archive_command: archive-wal.sh %p %f FOLDER. Status 0 means that the file is in FOLDER, compressed, read
# again and on the disk, as PostgreSQL then removes its own. After any other status it tries again.
set -eu
umask 077
# Not made here: a disk that is not mounted is no archive.
[ -d "$3" ] || { echo "archive-wal.sh: there is no folder $3" >&2; exit 1; }
target=$3/$2.gz

is_the_same() {
    gzip --decompress --stdout "$1" | cmp --silent - "$2"
}

if [ -e "$target" ]; then
    # As after a crash, when PostgreSQL had no time to note that it is done.
    is_the_same "$target" "$1" || { echo "archive-wal.sh: $target is there and is another file or damaged" >&2; exit 1; }
    sync "$target" "$3"
    exit 0
fi
# With archive_timeout most of a file is zeros.
gzip --fast < "$1" > "$target.part"
sync "$target.part"
is_the_same "$target.part" "$1"
mv "$target.part" "$target"
sync "$3"
