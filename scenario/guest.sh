# shellcheck shell=bash
# What scenarios that boot a kernel of Debian's in QEMU share; sourced by their `run`. Sets `root` (the project), `build`
# and `work` (a folder for the time that this runs). The kernel is fetched once and kept in `cache`.

guest_begin() { # NAME BUILD_DIR
	name=$1
	root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
	mkdir -p "${2:?usage: scenario/$name/run BUILD_DIR}"
	build=$(cd "$2" && pwd)
	work=$(mktemp -d "$build/$name.XXXXXX")
	qemu=
	trap guest_end EXIT
}

guest_end() {
	[ -z "$qemu" ] || kill "$qemu" 2>/dev/null || true
	rm -rf "$work"
}

# Debian's package lists and packages of any architecture, without touching what this machine's apt and dpkg know.
apt_apart() { # ARCHITECTURE COMMAND OPTIONS…
	local architecture=$1 command=$2
	shift 2
	"$command" -o APT::Architecture="$architecture" -o APT::Architectures::="$architecture" \
		-o Dir::State="$cache/state" -o Dir::State::status="$cache/state/status" -o Dir::Cache="$cache/apt" \
		-o APT::Sandbox::User= "$@"
}

# A kernel, busybox and further packages, in $cache/root. `meta` is the package that depends on the newest kernel.
guest_fetch() { # ARCHITECTURE META PACKAGES…
	local architecture=$1 meta=$2 kernel package
	shift 2
	cache=${BULKHEAD_CACHE:-$root/build/cache}/$architecture
	mkdir -p "$(dirname "$cache")"
	exec {fetching}>"$cache.lock" # scenarios run beside each other
	flock "$fetching"
	[ ! -e "$cache/complete" ] || return 0
	rm -rf "$cache"
	mkdir -p "$cache/state/lists/partial" "$cache/apt/archives/partial" "$cache/deb"
	touch "$cache/state/status"
	# An index that is being renewed on the mirror doesn't matter as long as the kernel is in another.
	apt_apart "$architecture" apt-get -q update >"$cache/log" 2>&1 || true
	kernel=$(apt_apart "$architecture" apt-cache depends "$meta" | sed -n 's/.*Depends: \(linux-image-[^ ]*\).*/\1/p' | head -n 1)
	[ -n "$kernel" ] || { echo "$name: no kernel for $architecture in the package lists; see $cache/log" >&2; return 1; }
	(cd "$cache/deb" && apt_apart "$architecture" apt-get -q download "$kernel" busybox-static "$@" >>"$cache/log" 2>&1) ||
		{ tail "$cache/log" >&2; return 1; }
	for package in "$cache"/deb/*.deb; do dpkg-deb -x "$package" "$cache/root"; done
	rm -r "$cache/deb" "$cache/apt" "$cache/state"
	touch "$cache/complete"
}

# Boots a guest from $work/initrd; its console goes to $work/console.
guest_boot() { # ARCHITECTURE MEGABYTES KERNEL_OPTIONS…
	local architecture=$1 megabytes=$2 machine
	shift 2
	case $architecture in
	amd64) machine="qemu-system-x86_64 -M q35 -cpu max" ;;
	arm64) machine="qemu-system-aarch64 -M virt -cpu cortex-a72" ;;
	esac
	(cd "$work/initrd" && find . | cpio --quiet -o -H newc >"$work/initrd.cpio")
	$machine -accel tcg -smp 2 -m "$megabytes" -display none -no-reboot -monitor none \
		-nic none -serial "file:$work/console" \
		-kernel "$cache"/root/boot/vmlinuz-* -initrd "$work/initrd.cpio" \
		-append "$* quiet panic=-1" 2>"$work/qemu.log" &
	qemu=$!
}

# Waits for the guest to say `guest: test ended with CODE`, and shows what it said; whether that was 0. A board that its
# guest can't switch off is stopped when all this ends.
guest_result() { # LIMIT_S SHOWN_LINES_REGEX
	local waited=0
	until grep -q '^guest: test ended' "$work/console" 2>/dev/null; do
		kill -0 "$qemu" 2>/dev/null || break
		[ "$waited" -lt $(($1 * 5)) ] || break
		sleep 0.2
		waited=$((waited + 1))
	done
	if grep -q '^guest: test ended with 0' "$work/console"; then
		grep -E "$2" "$work/console"
	else
		cat "$work/qemu.log" "$work/console"
		return 1
	fi
}
