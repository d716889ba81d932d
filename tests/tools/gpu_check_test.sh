#!/bin/sh
# tools/gpu-check: gpu_check_test.sh FOLDER-OF-TOOLS BUILD CMAKE. First with programs in place of
# ctest, the driver and lockstep, which say what a machine with a GPU would; then as it is, on the
# build at hand, where no GPU answers.
set -eu
tools=$1 build=$2 cmake=$3
source=$(dirname "$tools")
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
fail() { echo "gpu_check_test: $*" >&2; exit 1; }
# expect CODE COMMAND...: its output goes to $place/output.
expect() {
  wanted=$1 found=0
  shift
  "$@" >"$place/output" 2>&1 || found=$?
  [ "$found" = "$wanted" ] || fail "$* ended with $found, wanted $wanted: $(cat "$place/output")"
}
# says PATTERN [FILE]
says() { grep -q -e "$1" "${2:-$place/output}" || fail "no '$1' in: $(cat "${2:-$place/output}")"; }
# json FILE PATH...: a value of the report, which must be JSON for that.
json() {
  file=$1
  shift
  cat >"$place/json.cmake" <<END
file(READ "$file" text)
string(JSON value GET "\${text}" $*)
message("\${value}")
END
  "$cmake" -P "$place/json.cmake" 2>&1
}
is() { [ "$1" = "$2" ] || fail "found '$1', wanted '$2'"; }

if command -v shellcheck >/dev/null; then
  (cd "$tools" && shellcheck -s sh gpu-check gpu/*) || fail "shellcheck objects"
fi

root="$place/a repository"
mkdir -p "$root/tools" "$root/tests" "$root/build/gpu/tools" "$place/bin"
cp -r "$tools/gpu-check" "$tools/gpu" "$tools/test-summary" "$root/tools/"
check="$root/tools/gpu-check"

# What is wrong with the options is said before anything is done.
expect 64 sh "$check" --phase train
says '--phase train: wants build, tests'
expect 64 sh "$check" --colour
expect 64 sh "$check" --limit soon
expect 64 sh "$check" one two
expect 66 sh "$check" --with "$place/absent"
says 'no file .*absent'
expect 0 sh "$check" --help
says '--bundle BUNDLE'

# A machine with a GPU, whose answers are files.
cat >"$root/build/gpu/tools/lockstep" <<'END'
#!/bin/sh
[ -e "$ANSWERS/gpu" ] || { echo "lockstep: no NVIDIA driver answers" >&2; exit 71; }
if [ -e "$ANSWERS/slow" ]; then sleep 20; fi
case "$*" in
  *kernels*) echo '{"device":"cuda sm_90","peak":{"gflop_per_s":51234.5,"gb_per_s":4321.0},"kernels":[{"family":"gemm","kernel":"forward","shape":"m64 n10 k512","median_ms":0.0123456,"launch_us":null}]}' ;;
  *512*) [ ! -e "$ANSWERS/fails" ] || exit 71 ;;
esac
case "$*" in
  *train*) echo "{\"model\": \"$4\", \"dtype\": \"$8\", \"batch_size\": $6, \"steps\": 9, \"median_ms\": 1.25000, \"min_ms\": 1.2}" ;;
esac
END
cat >"$place/bin/ctest" <<'END'
#!/bin/sh
case "$*" in *-N*) echo '1: Test command: /folder/a_test "--gtest_filter=Gpu.Adds"' ;; esac
while [ $# -gt 0 ]; do
  [ "$1" != --output-junit ] || cp "$ANSWERS/tests.xml" "$2"
  shift
done
END
cat >"$place/bin/nvidia-smi" <<'END'
#!/bin/sh
[ -e "$ANSWERS/driver" ] || exit 9
case $1 in
  *compute_cap*) echo 9.0 ;;
  *) echo 580.1 ;;
esac
END
mkdir -p "$place/cuda/bin"
printf '#!/bin/sh\n' >"$place/cuda/bin/nvcc"
cat >"$place/cuda/bin/compute-sanitizer" <<'END'
#!/bin/sh
echo "$*"
case "$*" in *racecheck*/folder/a_test*) [ ! -e "$ANSWERS/race" ] || exit 86 ;; esac
END
chmod +x "$place/bin/"* "$place/cuda/bin/"* "$root/build/gpu/tools/lockstep"
junit() {
  printf '<testsuite>\n<testcase name="Gpu.Adds" status="run">\n</testcase>\n'
  printf '<testcase name="Gpu.Skips" status="notrun">\n<skipped message="SKIP_REGULAR_EXPRESSION_MATCHED"/>\n'
  printf '<system-out>a_test.cc:7: Skipped\n%s\n</system-out>\n</testcase>\n</testsuite>\n' "$1"
}
export ANSWERS="$place/answers" PATH="$place/bin:$PATH" CUDA_HOME="$place/cuda"
export LOCKSTEP_CUDA_LIBRARIES=/nowhere
mkdir -p "$ANSWERS"
report="$place/my report/report.json"
cd "$place"

# Without a GPU tests are skipped, which is neither good nor bad.
junit 'no GPU answers' >"$ANSWERS/tests.xml"
expect 69 sh "$check" --phase tests --phase bench 'my report'
is "$(json "$report" phases 0 verdict)" skipped
is "$(json "$report" phases 1 note)" 'no GPU answers: no NVIDIA driver answers'
is "$(json "$report" skipped_tests 0 test)" Gpu.Skips

# A GPU that the driver has and the program cannot use is a failure.
touch "$ANSWERS/driver"
expect 1 sh "$check" --phase tests 'my report'
says 'a GPU is there, but: .*no NVIDIA driver answers'

# Where a GPU answers, a test that skips for want of one is a failure; a test of machines without is
# none.
touch "$ANSWERS/gpu"
expect 1 sh "$check" --phase tests 'my report'
says '1 passed, 0 failed, 1 skipped; 1 skipped although a GPU answers'
junit 'this machine has 1 GPU' >"$ANSWERS/tests.xml"
expect 0 sh "$check" --phase tests 'my report'

# What fails does not stop the rest, and all of it is told.
touch "$ANSWERS/fails"
expect 1 sh "$check" --phase bench --phase tests 'my report'
says 'failed: vgg-512-float32 vgg-512-bfloat16 vgg-512-float16'
is "$(json "$report" phases 0 verdict)" passed
is "$(json "$report" phases 1 verdict)" failed
is "$(json "$report" kernels kernels 0 family)" gemm
is "$(json "$report" train 0 median_ms)" 1.25
says '^| gemm | forward | m64 n10 k512 | - | 0.01235 |' 'my report/report.md'
says '^| vgg | float16 | 128 | 1.25 |' 'my report/report.md'
says '^Measured peak: 5.123e+04 GFLOP/s' 'my report/report.md'
rm "$ANSWERS/fails"
expect 0 sh "$check" --phase bench 'my report'
says 'mlp 64 bfloat16: 1.25000 ms, '

# What a sanitizer finds fails, and is named.
expect 0 sh "$check" --phase sanitize 'my report'
says 'found nothing in 1 program'
touch "$ANSWERS/race"
expect 1 sh "$check" --phase sanitize 'my report'
says 'racecheck of a_test ended with 86'

# A phase ends in its time.
touch "$ANSWERS/slow"
expect 1 sh "$check" --limit 1 --phase bench 'my report'
says 'failed, .* not done within 1 s'
rm "$ANSWERS/slow"

# A bundle of a newer system is refused by name.
mkdir bundle
printf 'lockstep bundle 1\nglibc 99.1\n' >bundle/contents
touch bundle/bundle.cmake
tar -C bundle -czf new.tar.gz .
expect 1 sh "$check" --with new.tar.gz --phase build 'my report'
says 'made with glibc 99.1, this machine has'

# As it is.
unset ANSWERS LOCKSTEP_CUDA_LIBRARIES CUDA_HOME
PATH=${PATH#*:}
if [ ! -e "$build/tests/kernels/cuda_device_test" ]; then
  echo "SKIP: this build has no CUDA backend"
  exit 77
fi
if "$build/tools/lockstep" bench kernels --device cuda --only memory --megabytes 0.01 \
  --seconds 1e-6 >/dev/null 2>&1; then
  echo "SKIP: a GPU answers; tools/gpu-check itself tells of it"
  exit 77
fi
cd "$source"
expect 69 env LOCKSTEP_GPU_BUILD="$build" sh tools/gpu-check --phase tests --phase sanitize \
  --phase bench --phase peers "$place/real"
says 'tests$'
report="$place/real/report.json"
is "$(json "$report" skipped_tests 0 reason)" 'no GPU answers'
is "$(json "$report" phases 2 verdict)" skipped
case $(json "$report" phases 0 note) in
  *' 0 failed, '*'no GPU answers: '*) ;;
  *) fail "$(cat "$report")" ;;
esac
