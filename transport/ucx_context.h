// UCX's handles, owned, and how this project configures them.
#pragma once

#include <ucp/api/ucp.h>

#include <memory>
#include <string>

namespace hearsay::transport {

using UcxContext = std::unique_ptr<ucp_context, decltype(&ucp_cleanup)>;
using UcxWorkerHandle =
    std::unique_ptr<ucp_worker, decltype(&ucp_worker_destroy)>;

// Throws: std::runtime_error "UCX: CALL: what it said" unless UCS_OK.
void CheckUcx(ucs_status_t status, const std::string& call);

// Unless UCX_TLS names transports without TCP.
bool UcxMayUseTcp();

// TCP on `network_interface` ("" = UCX's choice), unless UCX_TLS and
// UCX_NET_DEVICES say otherwise. Throws: as CheckUcx.
UcxContext MakeUcxContext(const std::string& network_interface);

// For one thread, with an event descriptor. Throws: as CheckUcx.
UcxWorkerHandle MakeUcxWorker(ucp_context_h context);

// The transports that an endpoint uses, such as "tcp", joined by "+"; "" if
// unknown. UCX 1.13 tells only in a text for humans:
// "#                 lane[0]:  2:tcp/lo.0 md[1] ...".
std::string UcxLanes(ucp_ep_h endpoint);

}  // namespace hearsay::transport
