# Copies artifacts from ACT_ARTIFACTS to the folder TO: the one called NAME, or those that PATTERN
# matches, each to a folder of its own unless MERGE is true. As the real one: a name that nobody
# has kept is an error, a pattern that matches nothing is not.
set -eu
fetch() { # artifact, folder
    mkdir -p "$2"
    cp -r "$1/." "$2"
    echo "$(basename "$1") -> $2: $(find "$1" -type f | wc -l) file(s)"
}

if [ -n "$NAME" ]; then
    [ -d "$ACT_ARTIFACTS/$NAME" ] || {
        echo "::error::no job of this run has kept an artifact '$NAME'" >&2
        exit 1
    }
    fetch "$ACT_ARTIFACTS/$NAME" "$TO"
    exit 0
fi
for each in "$ACT_ARTIFACTS"/*; do
    name=${each##*/}
    # shellcheck disable=SC2254 # it is a pattern
    case $name in
    ${PATTERN:-*}) ;;
    *) continue ;;
    esac
    [ -d "$each" ] || continue # no artifact at all
    if [ "$MERGE" = true ]; then fetch "$each" "$TO"; else fetch "$each" "$TO/$name"; fi
done
