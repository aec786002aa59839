#!/usr/bin/env bash
# run.sh FUZZER [ARGUMENT...]: runs a fuzzer with the settings of FUZZER.options, the file that fuzzing services read too:
# [libfuzzer] flags before the given arguments, [asan] settings after those of ASAN_OPTIONS; and with FUZZER.dict.
set -euo pipefail
fuzzer=$1
shift
flags=() asan=${ASAN_OPTIONS:-} section=
if [[ -f $fuzzer.options ]]; then
  while IFS= read -r line; do
    line=${line%%#*}
    line=${line// /}
    case $line in
      '') ;;
      \[*\]) section=${line:1:-1} ;;
      *)
        case $section in
          libfuzzer) flags+=("-$line") ;;
          asan) asan=${asan:+$asan:}$line ;;
          *) echo "$fuzzer.options: no section [$section] is known" >&2; exit 2 ;;
        esac
        ;;
    esac
  done <"$fuzzer.options"
fi
[[ ! -f $fuzzer.dict ]] || flags+=("-dict=$fuzzer.dict")
# Reports name source lines where a symbolizer of the compiler's version is installed.
if [[ -z ${ASAN_SYMBOLIZER_PATH:-} ]] && symbolizer=$(command -v llvm-symbolizer-19); then
  export ASAN_SYMBOLIZER_PATH=$symbolizer
fi
# The first data race ends the run, as any other error does.
export TSAN_OPTIONS=halt_on_error=1${TSAN_OPTIONS:+:$TSAN_OPTIONS}
ASAN_OPTIONS=$asan exec "$fuzzer" "${flags[@]}" "$@"
