#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The command that KubeVirt gives its container "pr-helper" (since 1.6; backported to 1.3 to 1.5), with
# the helper's options as arguments. The container shares one directory with virt-handler.
# What fails here costs multipath maps at most, so each failure is a warning: a container that ends takes
# the whole virt-handler pod down with it.
set -u
shared=${KUBEVIRT_PR_DIRECTORY:-/var/run/kubevirt/daemons/pr}
socket=${MULTIPATH_SOCKET_NAME:-/run/multipathd.socket}
journal=/run/qemu-pr-mpath

warn()
{
    echo "entrypoint.sh: warning: $*" >&2
}

# virt-handler mounts the node's multipathd there whenever it finds one running: the link may lead
# nowhere until then.
ln -sfn "$shared/multipathd.socket" "$socket" ||
    warn "cannot link $socket: commands on multipath maps will not reach multipathd"

# What is known of a map's registrations has to outlast the container, as the registrations do.
keep_journal()
{
    umask 077
    mkdir -p "$journal" "$shared/qemu-pr-mpath" && mount --bind "$shared/qemu-pr-mpath" "$journal"
}
if [ -d "$shared" ] && ! (keep_journal); then
    warn "cannot keep $journal in $shared: it is lost when the container ends"
fi

exec /usr/bin/qemu-pr-helper "$@"
