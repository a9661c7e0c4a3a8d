// Package packages looks at what people install: the Debian packages, the default configuration, the unit
// and the scripts for other service managers, and the script that installs a build for the board. The packages'
// life on a Debian, from installation to purge, is in scripts/test-packages.sh.
package packages
