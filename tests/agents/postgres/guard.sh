# Ends a PostgreSQL server of the tests when nobody uses it any more, however its users ended: each holds a shared lock while it lives.
# Arguments: the lock, the server's folder (removed at the end), how many seconds it may stay unused.
exec 9< "$1"
folder=$2
left=$3
while :; do
    sleep 1
    if ! flock -n -x 9; then
        left=$3
        continue
    fi
    # The lock is kept until this process is gone: who comes now waits, and then finds no server.
    [ "$left" -gt 1 ] || break
    left=$((left - 1))
    flock -u 9
done

read -r pid 2> /dev/null < "$folder/data/postmaster.pid" || pid=
# A number in a file may be that of another process by now.
runs() { [ -n "$pid" ] && [ "$(readlink "/proc/$pid/cwd")" = "$folder/data" ]; }
if runs; then
    kill -QUIT "$pid"
    for _ in $(seq 100); do
        runs || break
        sleep 0.1
    done
    ! runs || kill -KILL "$pid"
fi
rm -rf "$folder"
