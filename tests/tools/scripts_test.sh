#!/bin/sh
# tools/demo and tools/soak, called from elsewhere with relative names that hold blanks, where a
# platform has left its variables: scripts_test.sh FOLDER-OF-TOOLS. What takes minutes (packages,
# compiling, training, testing) is replaced by programs that write down how they were called.
set -eu
tools=$1
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
fail() { echo "scripts_test: $*" >&2; exit 1; }

root="$place/a repository"
mkdir -p "$root/tools" "$root/build/release/tools" "$place/bin" "$place/else where"
cp "$tools/demo" "$tools/soak" "$root/tools/"
: >"$root/tools/setup"
printf '#!/bin/sh\nexit 0\n' >"$place/bin/cmake"
printf '#!/bin/sh\nexit 0\n' >"$place/bin/ctest"
cat >"$root/build/release/tools/lockstep" <<'END'
#!/bin/sh
printf '%s|' "$@" >>"$CALLS"
echo "base=$SAGEMAKER_BASE_DIR sm=$(env | grep -c '^SM_')" >>"$CALLS"
[ "$1" != train ] || mkdir -p "$9"
END
# A machine that the source came to as an archive has no git.
printf '#!/bin/sh\necho 0123456789abcdef\n' >"$place/bin/git"
chmod +x "$place/bin/"* "$root/build/release/tools/lockstep"

cd "$place/else where"
export CALLS="$place/calls" PATH="$place/bin:$PATH" CDPATH="$place"
export SM_HPS='{"epochs": 99}' SM_MODEL_DIR=/opt/ml/model SAGEMAKER_BASE_DIR=/opt/ml

sh '../a repository/tools/demo' 'my results' >"$place/output" || fail "demo ended with $?"
results="$place/else where/my results"
[ -f "$results/model/labels.txt" ] || fail "the results are not where they were asked for"
[ "$(grep -c "base=$results/platform sm=0\$" "$CALLS")" = 2 ] || fail "$(cat "$CALLS")"
grep -q "^train|.*--train|$results/train|.*--model-dir|$results/model|" "$CALLS" \
  || fail "$(cat "$CALLS")"

sh '../a repository/tools/soak' nothing 2 'my soak.json' >"$place/output" || fail "soak ended with $?"
grep -q '"runs": 2, "failed": 0' 'my soak.json' || fail "soak wrote its report elsewhere"
