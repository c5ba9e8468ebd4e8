# Copies the file or folder FROM, without hidden files, to the artifact NAME in ACT_ARTIFACTS.
# As the real one: its root is the folder itself, and a name can be given once in a run.
set -eu
fail() {
    echo "::error::$1" >&2
    exit 1
}

case $NAME in
'' | . | .. | *[\":\<\>\|\*\?/\\]*) fail "'$NAME' cannot be the name of an artifact" ;;
esac
case $FROM in
*[*?[!]* | *'
'?*) fail "only a file or a folder can be kept here, not '$FROM'" ;;
esac
FROM=$(printf %s "$FROM") # a path that YAML has written as a block ends with a line feed
[ ! -e "$ACT_ARTIFACTS/$NAME" ] || fail "this run has an artifact '$NAME' already"
mkdir -p "$ACT_ARTIFACTS"
new=$(mktemp -d "$ACT_ARTIFACTS/.XXXXXX")
if [ -d "$FROM" ]; then
    cd "$FROM"
    find -L . -name '.?*' -prune -o -type f -exec cp --parents -t "$new" {} +
elif [ -f "$FROM" ]; then
    cp "$FROM" "$new"
fi
count=$(find "$new" -type f | wc -l)
if [ "$count" = 0 ]; then
    rmdir "$new"
    [ "$IF_NONE" != error ] || fail "there is no file in '$FROM'"
    [ "$IF_NONE" = ignore ] || echo "::warning::there is no file in '$FROM'; nothing is kept"
    exit 0
fi
mv "$new" "$ACT_ARTIFACTS/$NAME"
echo "kept as $NAME: $count file(s)"
