#!/usr/bin/env bash
# Builds Debian packages into dist/packages/, with checksums.
#
#   scripts/package.sh                         all architectures
#   scripts/package.sh armhf                   only the named ones
#   scripts/package.sh --debian-version v1.2.3 prints what Debian calls that version
#   VERSION=v0.1.0 DIST=out scripts/package.sh
#
# Architectures: amd64 arm64 armhf armel. MAINTAINER ("Name <address>") is who answers for the packages,
# COMPRESSION (xz) what dpkg-deb is told. With BINARIES=FOLDER nothing is built: the programs are
# FOLDER/edgebus-ARCHITECTURE, and FOLDER/edgebus is one that runs here, for the manual page. The same
# commit gives the same bytes.
set -euo pipefail
cd "$(dirname "$0")/.."
umask 022

all=(amd64 arm64 armhf armel)
packages=${DIST:-dist}/packages
maintainer=${MAINTAINER:-edgebus authors <authors@edgebus.invalid>}
# What dpkg-deb writes into archives in place of the hour of the build.
committed=$(git log -1 --format=%ct 2>/dev/null) || committed=0
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$committed}
export DPKG_DEB_THREADS_MAX=1 # the bytes that xz writes depend on it

# debian_version VERSION: what scripts/version.sh prints, so that dpkg sorts it: a candidate below its
# release, commits after a release above it, what has no release below everything and by time.
debian_version() {
	local plain=${1#v}
	case $1 in
	v[0-9]*)
		# 1.2.3-rc.1-4-gabcdef-dirty: tag, commits behind it, commit, changes that nobody has committed.
		sed -E 's/-dirty$/+dirty/; s/-([0-9]+)-g([0-9a-f]+)/+\1.g\2/; s/^([0-9.]+)-/\1~/; s/-/./g' <<<"$plain"
		;;
	*)
		echo "0~git$(TZ=UTC date -d "@$SOURCE_DATE_EPOCH" +%Y%m%d%H%M%S 2>/dev/null || echo 0).$(tr -c 'A-Za-z0-9\n' . <<<"${1#dev-}")"
		;;
	esac
}

# program ARCHITECTURE OUTPUT: the program for it, with the bytes of a release.
program() {
	local target=linux-$1
	if [ -n "${BINARIES:-}" ]; then
		cp "$BINARIES/edgebus-$1" "$2"
		return
	fi
	case $1 in
	armhf) target=linux-armv6 ;; # Debian's armhf is ARM v7, but that of Raspberry Pi OS is v6, for the first models
	armel) target=linux-armv5 ;; # has no floating point unit
	esac
	VERSION=$version DIST=$stage/release scripts/cross-compile.sh "$target" >/dev/null
	mv "$stage/release/edgebus-$target" "$2"
}

# words FOLDER: what programs here say about themselves, for all architectures alike.
words() {
	local run=${BINARIES:+$BINARIES/edgebus}
	if [ -z "$run" ]; then
		run=$1/run
		program "$(go env GOHOSTARCH)" "$run"
	fi
	"$run" man >"$1/edgebus.1"
	for shell in bash zsh fish; do
		"$run" completion "$shell" >"$1/completion.$shell"
	done
	rm -f "$1/run"
}

# changelog: in Debian's form, which is read by programs. What has changed is for people, beside it.
changelog() {
	cat <<-END
		edgebus ($1) unstable; urgency=medium

		  * edgebus $version. CHANGELOG.md.gz says what has changed.

		 -- $maintainer  $(LC_ALL=C TZ=UTC date -R -d "@$SOURCE_DATE_EPOCH")
	END
}

# files ROOT WORDS ARCHITECTURE VERSION: all that the package brings.
files() {
	local root=$1 words=$2 doc=$1/usr/share/doc/edgebus
	install -d "$root/usr/bin" "$root/etc/edgebus" "$doc/examples" "$root/lib/systemd/system" \
		"$root/usr/share/man/man1" "$root/usr/share/lintian/overrides" "$root/usr/share/bash-completion/completions" \
		"$root/usr/share/zsh/vendor-completions" "$root/usr/share/fish/vendor_completions.d"
	program "$3" "$root/usr/bin/edgebus"
	chmod 755 "$root/usr/bin/edgebus"
	install -m 644 packaging/edgebus.conf "$root/etc/edgebus/edgebus.conf"
	# Below /lib, where Debians look that have not merged it into /usr.
	install -m 644 packaging/edgebus.service "$root/lib/systemd/system/edgebus.service"
	install -m 644 configs/*.conf "$doc/examples/"
	install -m 644 packaging/debian/copyright "$doc/copyright"
	gzip -9nc CHANGELOG.md >"$doc/CHANGELOG.md.gz"
	changelog "$4" | gzip -9nc >"$doc/changelog.gz"
	gzip -9nc "$words/edgebus.1" >"$root/usr/share/man/man1/edgebus.1.gz"
	install -m 644 "$words/completion.bash" "$root/usr/share/bash-completion/completions/edgebus"
	install -m 644 "$words/completion.zsh" "$root/usr/share/zsh/vendor-completions/_edgebus"
	install -m 644 "$words/completion.fish" "$root/usr/share/fish/vendor_completions.d/edgebus.fish"
	install -m 644 packaging/debian/lintian-overrides "$root/usr/share/lintian/overrides/edgebus"
}

# package ARCHITECTURE WORDS STAGE: stages one and packs it; prints the file.
package() {
	local root=$3/$1 debian=$3/$1/DEBIAN name size
	name=$(debian_version "$version")
	files "$root" "$2" "$1" "$name"
	# Of files alone: what folders take is each disk's own.
	size=$(find "$root" -type f -printf '%s\n' | awk '{ n += int(($1 + 1023) / 1024) } END { print n }')
	install -d "$debian"
	sed -e "s|@VERSION@|$name|; s|@ARCHITECTURE@|$1|; s|@MAINTAINER@|$maintainer|" \
		-e "s|@SIZE@|$size|" \
		packaging/debian/control.in >"$debian/control"
	install -m 644 packaging/debian/conffiles "$debian/conffiles"
	install -m 755 packaging/debian/preinst packaging/debian/postinst packaging/debian/prerm packaging/debian/postrm "$debian/"
	(cd "$root" && find usr lib -type f -print0 | LC_ALL=C sort -z | xargs -0 md5sum >DEBIAN/md5sums)
	dpkg-deb --root-owner-group "-Z${COMPRESSION:-xz}" --build "$root" "$packages/edgebus_${name}_$1.deb" >/dev/null
	rm -rf "$root"
}

if [ "${1:-}" = --debian-version ]; then
	debian_version "$2"
	exit
fi
command -v dpkg-deb >/dev/null || { echo "package: needs dpkg-deb (Debian: apt-get install dpkg)" >&2; exit 1; }
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=("${all[@]}")
version=${VERSION:-$(scripts/version.sh)}
for target in "${targets[@]}"; do
	case " ${all[*]} " in
	*" $target "*) ;;
	*) echo "package: unknown architecture \"$target\"; one of: ${all[*]}" >&2; exit 2 ;;
	esac
done

stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
mkdir -p "$packages" "$stage/words"
rm -f "$packages"/edgebus_*.deb "$packages/SHA256SUMS"
words "$stage/words"
for target in "${targets[@]}"; do
	package "$target" "$stage/words" "$stage"
done
(cd "$packages" && sha256sum edgebus_*.deb >SHA256SUMS)

echo "edgebus $version"
(cd "$packages" && wc -c edgebus_*.deb)
