#!/bin/sh
# tools/demo, tools/soak and tools/test-summary, called from elsewhere with names that hold blanks,
# where a platform has left its variables: scripts_test.sh FOLDER-OF-TOOLS, an absolute name. What
# takes minutes (packages, compiling, training, testing) is replaced by programs that write down how
# they were called.
set -eu
tools=$1
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
fail() { echo "scripts_test: $*" >&2; exit 1; }

root="$place/a repository"
mkdir -p "$root/tools" "$root/build/release/tools" "$place/bin" "$place/else where"
cp "$tools/demo" "$tools/soak" "$root/tools/"
: >"$root/tools/setup"
cat >"$place/bin/cmake" <<'END'
#!/bin/sh
[ "$1" = --build ] || exit 0
for step in 1 2 3 4 5 6 7 8 9 10 11 12; do echo "[$step/12] Building $step.cc"; done
[ ! -e "$FAILS" ] || { echo "no such header" >&2; exit 1; }
END
cat >"$place/bin/ctest" <<'END'
#!/bin/sh
mkdir -p build/release/Testing/Temporary
printf 'noise\ncounted: 3 of them\n' >build/release/Testing/Temporary/LastTest.log
END
cat >"$root/build/release/tools/lockstep" <<'END'
#!/bin/sh
printf '%s|' "$@" >>"$CALLS"
echo "base=$SAGEMAKER_BASE_DIR sm=$(env | grep -c '^SM_')" >>"$CALLS"
[ "$1" = train ] || exit 0
mkdir -p "$9" "${11}"
for accuracy in 0.1 "${ACCURACY-0.9049}"; do
  printf '{\n  "main/accuracy": 0.2,\n  "validation/main/accuracy": %s,\n}\n' "$accuracy"
done >"${11}/log"
END
# A machine that the source came to as an archive has no git.
printf '#!/bin/sh\necho 0123456789abcdef\n' >"$place/bin/git"
chmod +x "$place/bin/"* "$root/build/release/tools/lockstep"

cd "$place/else where"
export CALLS="$place/calls" FAILS="$place/fails" PATH="$place/bin:$PATH" CDPATH="$place"
export SM_HPS='{"epochs": 99}' SM_MODEL_DIR=/opt/ml/model SAGEMAKER_BASE_DIR=/opt/ml

ACCURACY=0.9051 sh '../a repository/tools/demo' 'my results' >"$place/output" ||
  fail "demo ended with $?"
grep -q '^90.51 % of' "$place/output" || fail "demo does not say how well: $(cat "$place/output")"
results="$place/else where/my results"
grep -q '^Building lockstep.*: 10 % 20 % 30 % 40 % 50 % 60 % 70 % 80 % 90 % 100 % done$' \
  "$place/output" || fail "demo shows no progress: $(cat "$place/output")"
grep -qF '[7/12] Building 7.cc' "$root/build/release/build.log" || fail "demo keeps no log"
[ -f "$results/model/labels.txt" ] || fail "the results are not where they were asked for"
[ "$(grep -c "base=$results/platform sm=0\$" "$CALLS")" = 2 ] || fail "$(cat "$CALLS")"
grep -q "^train|.*--train|$results/train|.*--model-dir|$results/model|" "$CALLS" \
  || fail "$(cat "$CALLS")"

code=0
sh '../a repository/tools/demo' 'my results' >"$place/output" 2>&1 || code=$?
[ "$code" = 1 ] || fail "demo ended with $code though the network is right about 90.49 %"
grep -q '^demo: at least 90.5 %' "$place/output" || fail "demo says: $(cat "$place/output")"

touch "$FAILS"
code=0
sh '../a repository/tools/demo' 'my results' >"$place/output" 2>&1 || code=$?
[ "$code" = 70 ] || fail "demo ended with $code though nothing was built"
grep -q '^no such header$' "$place/output" || fail "demo does not say why: $(cat "$place/output")"

sh '../a repository/tools/soak' nothing 2 'my soak.json' >"$place/output" 2>"$place/counted" ||
  fail "soak ended with $?"
grep -q '"runs": 2, "failed": 0' 'my soak.json' || fail "soak wrote its report elsewhere"
[ "$(cat "$place/counted")" = "3 of them
3 of them" ] || fail "soak does not say what tests have counted: $(cat "$place/counted")"

# The summary of tests names what failed, and what it said, as ctest 3.25 writes it.
cat >"$place/results.xml" <<'END'
<testsuite name="x" tests="5">
	<testcase name="A.Fails" classname="A.Fails" time="0.1" status="fail">
		<failure message=""/>
		<system-out>[ RUN      ] A.Fails
WARNING: of no concern
a_test.cc:3: Failure
Expected: (1) &lt; (&quot;0&quot;)
</system-out>
	</testcase>
	<testcase name="B.IsSilent" classname="B.IsSilent" time="0.1" status="fail">
		<failure message=""/>
		<system-out></system-out>
	</testcase>
	<testcase name="C.IsMissing" classname="C.IsMissing" time="0" status="notrun">
		<skipped message="Unable to find executable"/>
		<system-out>Unable to find executable: /nowhere</system-out>
	</testcase>
	<testcase name="D.Passes" classname="D.Passes" time="0.1" status="run">
		<system-out>a line</system-out>
	</testcase>
	<testcase name="E.Skips" classname="E.Skips" time="0.1" status="notrun">
		<skipped message="SKIP_RETURN_CODE=77"/>
		<system-out>SKIP: no horse
</system-out>
	</testcase>
</testsuite>
END
sh "$tools/test-summary" 2 "$place/results.xml" >"$place/summary"
[ "$(cat "$place/summary")" = "failed: A.Fails ($place/results.xml)
    a_test.cc:3: Failure
    Expected: (1) < (\"0\")
failed: B.IsSilent ($place/results.xml)
failed: C.IsMissing ($place/results.xml)
    Unable to find executable
    Unable to find executable: /nowhere
skipped 1: no horse
1 passed, 5 failed, 1 skipped" ] || fail "the summary is: $(cat "$place/summary")"
