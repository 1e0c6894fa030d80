#!/bin/sh
# A coroutine frame above BULKHEAD_FRAME_MAX must not compile, and one below it must.
# Usage: frame_bound.sh SOURCE_DIR COMPILER...
set -u
root=$1
shift
errors=$(mktemp)
trap 'rm -f "$errors"' EXIT
failed=0

compile() {
	"$compiler" -std=c++23 "$1" -DBULKHEAD_FRAME_MAX=1024 -DFRAME_BYTES="$2" -I "$root" \
		-c "$root/base/test/frame_bound.cc" -o /dev/null 2>"$errors"
}

for compiler in "$@"; do
	for level in -O1 -O2 -Os; do
		if ! compile $level 600; then
			echo "$compiler $level: a frame below the bound was refused:"
			cat "$errors"
			failed=1
		fi
		for bytes in 1024 5000; do
			if compile $level $bytes; then
				echo "$compiler $level: a frame of more than $bytes bytes was accepted"
				failed=1
			elif ! grep -q "a coroutine frame exceeds BULKHEAD_FRAME_MAX" "$errors"; then
				echo "$compiler $level: another error than expected:"
				cat "$errors"
				failed=1
			fi
		done
	done
done
exit $failed
