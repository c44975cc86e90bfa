// What the admin server's requests mean: /livez, /readyz, /healthz, /metrics
// and /v1/... of interface.md.
//
// Egress: everything served is public or released, except what is served only
// when `request.local` (the owner's unix socket): /v1/private and the phases of
// a step in /metrics, whose times tell realised batch sizes.
#pragma once

#include "daemon/admin_server.h"

namespace hearsay::daemon {

class Node;

// Threads: the network thread.
AdminResponse ServeAdmin(Node& node, const AdminRequest& request);

}  // namespace hearsay::daemon
