#!/bin/sh
# Installs the build of edgebus that fits this board, or upgrades to it, after checking its sum.
#
#   ./install.sh                          builds and SHA256SUMS lie beside this script
#   ./install.sh --from FOLDER-OR-URL     they lie there
#
#   --sums FILE      the sums, if they came by another way. Sums from the same place as the build show that
#                    it arrived whole, and not who made it.
#   --prefix FOLDER  where bin/edgebus goes. Default: /usr/local
#   --target NAME    another build than the one for this board, such as linux-armv6
#   --print-target   says which build this board wants, and ends
#
# The program is replaced as a whole or not at all, and only by one that runs here. A running server stays as
# it is: `edgebus upgrade` hands over to the new program, or restart it. Plain sh, for boards with busybox.
set -eu

say() { echo "install: $*" >&2; }
fail() {
	say "$@"
	exit 1
}

# little_endian: a machine named mips may be either.
little_endian() {
	[ "$(printf '\001\000' | od -An -tu2 | tr -d ' ')" = 1 ]
}

# board: the build for this machine. A 64-bit kernel runs the 64-bit build whatever the programs beside it
# are, since it loads nothing of them.
board() {
	machine=$(uname -m)
	case "$(uname -s) $machine" in
	"Linux x86_64" | "Linux amd64") echo linux-amd64 ;;
	"Linux i386" | "Linux i486" | "Linux i586" | "Linux i686") echo linux-386 ;;
	"Linux aarch64" | "Linux arm64") echo linux-arm64 ;;
	"Linux armv7"* | "Linux armv8"*) echo linux-armv7 ;;
	"Linux armv6"*) echo linux-armv6 ;;
	"Linux armv5"*) echo linux-armv5 ;;
	"Linux riscv64") echo linux-riscv64 ;;
	"Linux mips")
		little_endian || fail "there is no build for big-endian MIPS"
		echo linux-mipsle
		;;
	"Linux mipsel") echo linux-mipsle ;;
	"Darwin arm64") echo darwin-arm64 ;;
	"Darwin x86_64") echo darwin-amd64 ;;
	"FreeBSD amd64") echo freebsd-amd64 ;;
	*) fail "there is no build for $(uname -s) on $machine: build it with Go from the source, or name one with --target" ;;
	esac
}

# bring NAME FILE: one file from where builds lie.
bring() {
	plain=
	case $from in http://*) plain=yes ;; esac
	case $from in
	http://* | https://*)
		if command -v curl >/dev/null 2>&1; then
			# What begins encrypted goes on so, whereto it may be redirected.
			curl -fsSL --proto-redir "=https${plain:+,http}" -o "$2" "$from/$1"
		elif command -v wget >/dev/null 2>&1; then
			wget -q -O "$2" "$from/$1"
		else
			fail "neither curl nor wget is here to fetch $from/$1"
		fi
		;;
	*) cp "$from/$1" "$2" ;;
	esac || fail "cannot get $1 from $from"
}

# sum FILE: its SHA-256 in hex.
sum() {
	if command -v sha256sum >/dev/null 2>&1; then
		sha256sum <"$1"
	elif command -v shasum >/dev/null 2>&1; then
		shasum -a 256 <"$1"
	elif command -v openssl >/dev/null 2>&1; then
		openssl dgst -sha256 -r <"$1"
	else
		fail "there is no sha256sum, shasum or openssl here: nothing is installed unchecked"
	fi | cut -d' ' -f1
}

# verify NAME FILE SUMS
verify() {
	wanted=$(awk -v name="$1" '$2 == name || $2 == "*" name { print $1; exit }' "$3")
	[ -n "$wanted" ] || fail "SHA256SUMS has no sum for $1: nothing is installed unchecked"
	got=$(sum "$2")
	[ "$got" = "$wanted" ] || fail "$1 has the sum $got and should have $wanted: it is broken or not what was released; nothing was changed"
}

from=$(dirname "$0")
sums=
prefix=/usr/local
target=
print=
while [ $# -gt 0 ]; do
	case $1 in
	--print-target) print=yes ;;
	--from | --sums | --prefix | --target)
		[ $# -gt 1 ] || { say "$1 wants a value"; exit 2; }
		case $1 in
		--from) from=${2%/} ;;
		--sums) sums=$2 ;;
		--prefix) prefix=$2 ;;
		--target) target=$2 ;;
		esac
		shift
		;;
	-h | --help)
		sed -n '2,/^set /{/^set /!s/^# \{0,1\}//p;}' "$0"
		exit
		;;
	*)
		say "unknown option \"$1\"; --help lists them"
		exit 2
		;;
	esac
	shift
done

[ -n "$target" ] || target=$(board)
if [ -n "$print" ]; then
	echo "$target"
	exit
fi
name=edgebus-$target

stage=$(mktemp -d)
aside=
trap 'rm -rf "$stage" ${aside:+"$aside"}' EXIT
trap 'exit 1' HUP INT TERM

[ -n "$sums" ] || { sums=$stage/SHA256SUMS && bring SHA256SUMS "$sums"; }
[ -r "$sums" ] || fail "cannot read $sums"
bring "$name" "$stage/edgebus"
verify "$name" "$stage/edgebus" "$sums"

# Aside and then renamed, on the same disk: a board that loses power has the old one or the new one.
mkdir -p "$prefix/bin" || fail "cannot write to $prefix: run it as root, or say --prefix"
aside=$(mktemp -d "$prefix/bin/.edgebus-XXXXXX") || fail "cannot write to $prefix/bin: run it as root, or say --prefix"
cat "$stage/edgebus" >"$aside/edgebus"
chmod 755 "$aside/edgebus"
said=$("$aside/edgebus" version 2>&1) || fail "$name does not run here (it says: $said); nothing was changed"
sync
mv -f "$aside/edgebus" "$prefix/bin/edgebus"
sync
echo "installed $prefix/bin/edgebus ($said)"
