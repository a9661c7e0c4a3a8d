#!/usr/bin/env bash
# The packages from the first to the last day: they are built, looked through, and installed, upgraded,
# removed and purged in a Debian of their own, which debootstrap lays out from the mirror that this machine's
# apt uses; then that Debian is booted, so that systemd itself runs the service. Needs root; what is missing is
# said aloud. `make test` has the quick part, tests/packages.
#   ROOT=FOLDER  a Debian laid out before, with systemd, which is copied; without it one is laid out
#   DIST=FOLDER  with packages/ built before, for all architectures; without it they are built
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
architectures=(amd64 arm64 armhf armel)
dist=${DIST:-$work/dist}

# say WHAT: why a step fails.
say() {
	echo "$*" >&2
	return 1
}

# deb ARCHITECTURE: its package.
deb() {
	local found=("$dist"/packages/edgebus_*_"$1".deb)
	echo "${found[0]}"
}

# opened ARCHITECTURE: the package's files, unpacked once.
opened() {
	[ -d "$work/$1" ] || dpkg-deb --raw-extract "$(deb "$1")" "$work/$1" || return 1
	echo "$work/$1"
}

# The program in each package is for that machine, down to its floating point unit, and needs nothing else.
programs_fit() {
	local architecture want program
	for architecture in "${architectures[@]}"; do
		case $architecture in
		amd64) want='ELF 64-bit LSB executable, x86-64' ;;
		arm64) want='ELF 64-bit LSB executable, ARM aarch64' ;;
		*) want='ELF 32-bit LSB executable, ARM, EABI5' ;;
		esac
		program=$(opened "$architecture")/usr/bin/edgebus || return 1
		file -b "$program" | grep -F "$want" | grep -F 'statically linked' | cut -d, -f1-3 || say "$architecture: $(file -b "$program")" || return 1
	done
}

# runs QEMU CPU ARCHITECTURE: its program runs on that processor.
runs() {
	local emulator
	emulator=$(first "$1" "$1-static") && "$emulator" -cpu "$2" "$(opened "$3")/usr/bin/edgebus" version
}

# Nothing but the overrides that the package has itself.
lint_packages() {
	local architecture
	for architecture in "${architectures[@]}"; do
		lintian --allow-root --fail-on error,warning --tag-display-limit 0 "$(deb "$architecture")" || return 1
	done
}

# The unit as systemd finds it in the package.
unit_is_closed() {
	local unit
	unit=$(opened amd64)/lib/systemd/system/edgebus.service || return 1
	sed "s#/usr/bin/edgebus#$work/amd64/usr/bin/edgebus#" "$unit" >"$work/edgebus.service"
	systemd-analyze verify --man=no "$work/edgebus.service" &&
		systemd-analyze security --offline=true --threshold=20 "$work/edgebus.service" | tail -n 2
}

# lay_out: a Debian with nothing in it but what every one has.
lay_out() {
	local mirror suite
	if [ -n "${ROOT:-}" ]; then
		cp -a "$ROOT" "$root"
		return
	fi
	# shellcheck disable=SC2016 # apt's own
	mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | head -n 1)
	suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
	debootstrap --variant=minbase --include=adduser,dbus,systemd,systemd-sysv "$suite" "$root" "$mirror" >"$work/debootstrap.log" 2>&1 ||
		{ tail -n 5 "$work/debootstrap.log" && return 1; }
}

# inside COMMAND...: in that Debian. Nobody answers questions there.
inside() {
	LC_ALL=C DEBIAN_FRONTEND=noninteractive chroot "$root" "$@" </dev/null
}

# is WHAT GOT WANT
is() {
	[ "$2" = "$3" ] || say "$1 is \"$2\", want \"$3\""
}

# mode PATH: owner, group and mode in that Debian.
mode() {
	inside stat -c '%U:%G %a' "$1"
}

# dpkg_install FILE: with the answer of unattended upgrades, which keeps what was changed.
dpkg_install() {
	cp "$1" "$root/package.deb" || return 1
	inside dpkg --force-confdef --force-confold -i /package.deb >"$work/dpkg.log" 2>&1 || { cat "$work/dpkg.log" && return 1; }
}

# next VERSION: the package of a later release, with another default configuration. Prints the file.
next() {
	local tree=$work/next
	rm -rf "$tree"
	dpkg-deb --raw-extract "$(deb amd64)" "$tree" &&
		sed -i "s/^Version: .*/Version: $1/" "$tree/DEBIAN/control" &&
		echo "# New in $1." >>"$tree/etc/edgebus/edgebus.conf" &&
		dpkg-deb --root-owner-group -Znone --build "$tree" "$work/next.deb" >/dev/null && echo "$work/next.deb"
}

# broken VERSION: the package of a release that does not get as far as its files. Prints the file.
broken() {
	next "$1" >/dev/null &&
		printf '#!/bin/sh\nexit 1\n' >"$work/next/DEBIAN/preinst" && chmod 755 "$work/next/DEBIAN/preinst" &&
		dpkg-deb --root-owner-group -Znone --build "$work/next" "$work/broken.deb" >/dev/null && echo "$work/broken.deb"
}

# known: what dpkg knows of the package.
known() {
	# shellcheck disable=SC2016 # dpkg's own
	inside dpkg-query -W -f '${Status} ${Version}' edgebus
}

enabled() {
	[ -L "$root/etc/systemd/system/multi-user.target.wants/edgebus.service" ]
}

installs() {
	dpkg_install "$(deb amd64)" &&
		is "the folder of the configuration" "$(mode /etc/edgebus)" "root:edgebus 750" &&
		is "the configuration" "$(mode /etc/edgebus/edgebus.conf)" "root:edgebus 640" &&
		is "the user's shell" "$(inside getent passwd edgebus | cut -d: -f6-)" "/var/lib/edgebus:/usr/sbin/nologin" &&
		inside chroot --userspec=edgebus:edgebus / /usr/bin/edgebus version &&
		{ enabled || say "the service is not enabled"; }
}

# The service's user starts the installed program with the installed configuration, sends and receives.
works() {
	local status=0
	inside install -d -o edgebus -g edgebus /run/edgebus
	chroot --userspec=edgebus:edgebus "$root" /usr/bin/edgebus -c /etc/edgebus/edgebus.conf -p -1 -m -1 --ports_file_dir /run/edgebus >"$work/server.log" 2>&1 </dev/null &
	local server=$! url=
	for _ in $(seq 200); do
		url=$(sed -nE 's/.*"nats":\["([^"]+)".*/\1/p' "$root"/run/edgebus/*.ports 2>/dev/null) && [ -n "$url" ] && break
		kill -0 "$server" 2>/dev/null || break
		sleep 0.05
	done
	if [ -n "$url" ]; then
		inside edgebus check --connect -s "$url" || status=1
	else
		cat "$work/server.log"
		status=1
	fi
	kill "$server" 2>/dev/null
	wait "$server" || status=1
	return "$status"
}

# What nobody has touched is replaced.
upgrades() {
	dpkg_install "$(next 98.0)" && inside grep -q 'New in 98.0' /etc/edgebus/edgebus.conf &&
		is "the configuration" "$(mode /etc/edgebus/edgebus.conf)" "root:edgebus 640" && enabled
}

# A release that fails before its files are there leaves the one before as it was.
survives_a_failure() {
	local before
	before=$(known)
	if dpkg_install "$(broken 98.5)" >/dev/null; then
		say "a package whose preinst fails is installed"
		return 1
	fi
	is "what dpkg knows" "$(known)" "$before" && inside edgebus version && inside grep -q 'New in 98.0' /etc/edgebus/edgebus.conf &&
		is "the configuration" "$(mode /etc/edgebus/edgebus.conf)" "root:edgebus 640" && enabled
}

# What somebody has changed stays, be it a line, a mode or that the service is off.
keeps_changes() {
	inside sh -c 'echo "port: 4333" >>/etc/edgebus/edgebus.conf && chmod 600 /etc/edgebus/edgebus.conf && chown edgebus /etc/edgebus/edgebus.conf && chmod 700 /etc/edgebus' &&
		rm "$root/etc/systemd/system/multi-user.target.wants/edgebus.service" && # systemctl disable
		dpkg_install "$(next 99.0)" || return 1
	is "the last line" "$(tail -n 1 "$root/etc/edgebus/edgebus.conf")" "port: 4333" &&
		is "the new default beside it" "$(tail -n 1 "$root/etc/edgebus/edgebus.conf.dpkg-dist")" "# New in 99.0." &&
		is "the configuration" "$(mode /etc/edgebus/edgebus.conf)" "edgebus:edgebus 600" &&
		is "its folder" "$(mode /etc/edgebus)" "root:edgebus 700" || return 1
	if enabled; then say "the service that was switched off is on again"; fi
}

# What the server has written, and files that were put beside its configuration, outlive a removal; so does
# what was changed.
removes() {
	inside sh -c 'mkdir -p /var/lib/edgebus /var/log/edgebus && echo token >/var/lib/edgebus/kept && echo mine >/etc/edgebus/site.creds' &&
		inside dpkg --remove edgebus >/dev/null 2>&1 &&
		is "the last line" "$(tail -n 1 "$root/etc/edgebus/edgebus.conf")" "port: 4333" &&
		is "the state" "$(cat "$root/var/lib/edgebus/kept")" token || return 1
	if [ -e "$root/usr/bin/edgebus" ] || [ -e "$root/lib/systemd/system/edgebus.service" ]; then say "the program is still there"; fi
}

comes_back() {
	dpkg_install "$(next 99.0)" && is "the last line" "$(tail -n 1 "$root/etc/edgebus/edgebus.conf")" "port: 4333"
}

# All goes but the user, and what somebody else has put there.
purges() {
	local left
	inside dpkg --purge edgebus >"$work/dpkg.log" 2>&1 || { cat "$work/dpkg.log" && return 1; }
	is "what is left in /etc/edgebus" "$(ls -A "$root/etc/edgebus")" site.creds && inside getent passwd edgebus >/dev/null || return 1
	left=$(find "$root" -path "$root/proc" -prune -o -iname '*edgebus*' -not -path "$root/etc/edgebus" -print)
	is "what is left elsewhere" "$left" "" && is "what dpkg knows of it" "$(inside dpkg -l edgebus 2>/dev/null | grep -c '^[a-z]i* *edgebus')" 0
}

# Installed and purged without a change in between, nothing stays.
leaves_nothing() {
	rm -f "$root/etc/edgebus/site.creds"
	dpkg_install "$(deb amd64)" && inside dpkg --purge edgebus >/dev/null 2>&1 || return 1
	if [ -e "$root/etc/edgebus" ]; then say "/etc/edgebus is still there"; fi
}

# boots SCRIPT: runs it in that Debian under its own systemd; it prints what is wrong.
boots() {
	cp "$1" "$root/probe.sh"
	cat >"$root/etc/systemd/system/probe.service" <<-'END'
		[Service]
		Type=oneshot
		ExecStart=/bin/bash /probe.sh
		StandardOutput=append:/probe.log
		StandardError=append:/probe.log
		ExecStopPost=/bin/systemctl poweroff --no-block
	END
	mkdir -p "$root/etc/systemd/system/multi-user.target.wants"
	ln -sf ../probe.service "$root/etc/systemd/system/multi-user.target.wants/probe.service"
	: >"$root/probe.log"
	# Without a network: its ports are its own.
	timeout -k 5 300 systemd-nspawn --quiet --register=no --keep-unit --private-network -D "$root" -b </dev/null >"$work/boot.log" 2>&1 ||
		say "it does not boot, or not end: $(tail -n 3 "$work/boot.log")"
	cat "$root/probe.log"
	tail -n 1 "$root/probe.log" | grep -qx 'all is well'
}

# Under systemd: ready when it says so, reloads, upgrades without an end, is killed and started anew when it hangs.
serves_under_systemd() {
	cp "$(deb amd64)" "$root/package.deb" && cp "$(next 98.0)" "$root/next.deb" && cp "$(broken 98.5)" "$root/broken.deb" || return 1
	cat >"$work/probe.sh" <<-'END'
		shown() { systemctl show edgebus -p "$1" --value; }
		is() { [ "$2" = "$3" ] && echo "$1: $2" || { echo "$1 is \"$2\", want \"$3\""; journalctl -u edgebus -o cat | tail -n 30; exit 1; }; }
		# becomes NAME WANT COMMAND...: within 90 s
		becomes() { for _ in $(seq 900); do [ "$("${@:3}")" = "$2" ] && break; sleep 0.1; done; is "$1" "$("${@:3}")" "$2"; }
		servers() { running | wc -l; }
		running() { for each in /proc/[0-9]*/comm; do grep -xs edgebus "$each"; done; }
		export DEBIAN_FRONTEND=noninteractive LC_ALL=C
		dpkg -i /package.deb >/dev/null 2>&1
		is "after installation" "$(systemctl is-active edgebus) $(systemctl is-enabled edgebus) $(shown Type)" "active enabled notify"
		edgebus check --connect || exit 1
		systemctl reload edgebus; is "status of a reload" $? 0
		echo "nonsense: 1" >>/etc/edgebus/edgebus.conf
		systemctl reload edgebus 2>/dev/null; is "status of a reload with a mistake in the file" $? 1
		is "after it" "$(systemctl is-active edgebus)" active
		sed -i '$d' /etc/edgebus/edgebus.conf
		before=$(shown InvocationID) process=$(shown MainPID)
		dpkg -i /next.deb >/dev/null 2>&1
		is "start of the service after an upgrade" "$(shown InvocationID)" "$before"
		[ "$(shown MainPID)" != "$process" ] || is "process after an upgrade" "$process" "another"
		edgebus check --connect || exit 1
		becomes "servers after it" 1 servers
		process=$(shown MainPID)
		# A program that serves, and dies 2 s later.
		printf '#!/bin/sh\n(sleep 2; kill -9 $$) &\nexec /usr/bin/edgebus "$@"\n' >/usr/bin/short-lived; chmod 755 /usr/bin/short-lived
		edgebus upgrade -c /etc/edgebus/edgebus.conf /usr/bin/short-lived || exit 1
		[ "$(shown MainPID)" != "$process" ] || is "process after another upgrade" "$process" "another"
		becomes "process when the new one has died" "$process" shown MainPID
		becomes "servers then" 1 servers
		edgebus check --connect || exit 1
		is "start of the service after that" "$(shown InvocationID) $(shown NRestarts)" "$before 0"
		# A configuration that the new program does not take: the one that runs goes on.
		echo "nonsense: 1" >>/etc/edgebus/edgebus.conf
		dpkg --force-confold -i /package.deb >/dev/null 2>&1; is "status of an installation that cannot take over" $? 0
		sed -i '$d' /etc/edgebus/edgebus.conf
		is "process after it" "$(shown MainPID)" "$process"
		edgebus check --connect || exit 1
		kill -STOP "$(shown MainPID)"
		becomes "starts after a hang" 1 shown NRestarts
		becomes "after a hang" active systemctl is-active edgebus
		edgebus check --connect || exit 1
		systemctl stop edgebus
		dpkg -i /broken.deb >/dev/null 2>&1; is "status of an installation that fails" $? 1
		is "a service that was stopped before it" "$(systemctl is-active edgebus)" inactive
		systemctl start edgebus
		dpkg -i /broken.deb >/dev/null 2>&1
		is "a service that ran before it" "$(systemctl is-active edgebus)" active
		# What is removed and installed again serves again; what somebody has stopped or switched off does not.
		dpkg --remove edgebus >/dev/null 2>&1
		becomes "after a removal" "" running
		dpkg -i /package.deb >/dev/null 2>&1
		is "after it is installed again" "$(systemctl is-active edgebus) $(systemctl is-enabled edgebus)" "active enabled"
		edgebus check --connect || exit 1
		systemctl stop edgebus
		dpkg -i /next.deb >/dev/null 2>&1
		is "a service that was stopped, after an upgrade" "$(systemctl is-active edgebus)" inactive
		systemctl disable edgebus 2>/dev/null
		dpkg --remove edgebus >/dev/null 2>&1
		dpkg -i /next.deb >/dev/null 2>&1
		is "a service that was switched off, after it is installed again" "$(systemctl is-active edgebus) $(systemctl is-enabled edgebus)" "inactive disabled"
		systemctl enable --now edgebus 2>/dev/null
		is "after it is switched on" "$(systemctl is-active edgebus)" active
		dpkg --purge edgebus >/dev/null 2>&1
		becomes "after a purge" "" running
		echo "all is well"
	END
	boots "$work/probe.sh"
}

same_bytes() {
	DIST=$work/again scripts/package.sh armel >/dev/null && cmp "$(deb armel)" "$work"/again/packages/*.deb
}

build() {
	DIST=$dist scripts/package.sh
}

if ! command -v dpkg-deb >/dev/null; then
	leave_out "packages" "needs dpkg-deb (Debian: apt-get install dpkg)"
	closing
	exit
fi
[ -n "${DIST:-}" ] || step "packages for ${architectures[*]}" build
step "the same commit gives the same package" same_bytes
if command -v file >/dev/null || debian file; then
	step "programs for their machines" programs_fit
fi
if first qemu-arm qemu-arm-static >/dev/null || debian qemu-user-static || debian qemu-user; then
	step "armhf on an ARM v6 (Raspberry Pi 1)" runs qemu-arm arm1176 armhf
	step "armel on an ARM v5 without floating point" runs qemu-arm arm926 armel
	step "arm64 on a Cortex-A53" runs qemu-aarch64 cortex-a53 arm64
else
	leave_out "programs on ARM" "needs qemu-user"
fi
if command -v lintian >/dev/null || debian lintian; then
	step "lintian" lint_packages
else
	leave_out "lintian" "is not here"
fi
if command -v systemd-analyze >/dev/null; then
	step "systemd-analyze verify and security" unit_is_closed
else
	leave_out "systemd-analyze" "needs systemd"
fi
if [ "$(id -u)" = 0 ] && { [ -n "${ROOT:-}" ] || command -v debootstrap >/dev/null || debian debootstrap; }; then
	step "a Debian to install in" lay_out
	for each in installs works upgrades survives_a_failure keeps_changes removes comes_back purges leaves_nothing; do
		step "the package ${each//_/ }" "$each"
	done
	if command -v systemd-nspawn >/dev/null || debian systemd-container; then
		step "the service under systemd" serves_under_systemd
	else
		leave_out "the service under systemd" "needs systemd-nspawn (Debian: apt-get install systemd-container)"
	fi
else
	leave_out "installation, upgrade, removal, purge" "needs root and debootstrap"
fi
closing
