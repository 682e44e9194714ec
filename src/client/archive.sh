#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# archive.sh OUTPUT MAP COMPILER...: make a static library of which nothing can be seen but
# what the symbol map lists. Its objects are linked to one, with those of base, scsi and proto that they
# need, whose names (log_..., cdb_...) are not to meet those of the program. The compiler's command line
# ends with the archives.
set -eu

output=$1 map=$2
shift 2
object=$output.o
trap 'rm -f "$object" "$output.symbols"' EXIT
"$@" -r -nostdlib -o "$object"
sed -n 's/^ *\(prhelper_[a-z_]*\);$/\1/p' "$map" >"$output.symbols"
# Those of the compiler, which may be one for another machine.
objcopy=$("$@" -print-prog-name=objcopy)
ar=$("$@" -print-prog-name=ar)
"$objcopy" --keep-global-symbols="$output.symbols" "$object"
rm -f "$output"
"$ar" rcs "$output" "$object"
