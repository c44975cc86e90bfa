#include "transport/ucx_context.h"

#include <cstdio>
#include <cstdlib>
#include <set>
#include <stdexcept>

namespace hearsay::transport {

void CheckUcx(ucs_status_t status, const std::string& call) {
  if (status != UCS_OK)
    throw std::runtime_error("UCX: " + call + ": " + ucs_status_string(status));
}

bool UcxMayUseTcp() {
  const char* set = std::getenv("UCX_TLS");
  const std::string transports = set == nullptr ? "tcp" : set;
  return transports.find("tcp") != std::string::npos ||
         transports.find("all") != std::string::npos ||
         transports.starts_with('^');
}

UcxContext MakeUcxContext(const std::string& network_interface) {
  ucp_config_t* config = nullptr;
  CheckUcx(ucp_config_read(nullptr, nullptr, &config), "ucp_config_read");
  const std::unique_ptr<ucp_config_t, decltype(&ucp_config_release)> owner(
      config, &ucp_config_release);
  if (std::getenv("UCX_TLS") == nullptr) {
    CheckUcx(ucp_config_modify(config, "TLS", "tcp,self"), "TLS=tcp,self");
    // Over TCP a zero-copy send that fails is completed twice, and the second
    // aborts the process (ops/decisions/0028).
    if (std::getenv("UCX_ZCOPY_THRESH") == nullptr)
      CheckUcx(ucp_config_modify(config, "ZCOPY_THRESH", "inf"),
               "ZCOPY_THRESH=inf");
  }
  if (std::getenv("UCX_NET_DEVICES") == nullptr && !network_interface.empty())
    CheckUcx(
        ucp_config_modify(config, "NET_DEVICES", network_interface.c_str()),
        "NET_DEVICES");

  ucp_params_t params{};
  params.field_mask = UCP_PARAM_FIELD_FEATURES;
  params.features = UCP_FEATURE_AM | UCP_FEATURE_WAKEUP;
  ucp_context_h context = nullptr;
  CheckUcx(ucp_init(&params, config, &context),
           network_interface.empty()
               ? "ucp_init"
               : "ucp_init on interface " + network_interface);
  return UcxContext(context, &ucp_cleanup);
}

UcxWorkerHandle MakeUcxWorker(ucp_context_h context) {
  ucp_worker_params_t params{};
  params.field_mask = UCP_WORKER_PARAM_FIELD_THREAD_MODE;
  params.thread_mode = UCS_THREAD_MODE_SINGLE;
  ucp_worker_h worker = nullptr;
  CheckUcx(ucp_worker_create(context, &params, &worker), "ucp_worker_create");
  return UcxWorkerHandle(worker, &ucp_worker_destroy);
}

std::string UcxLanes(ucp_ep_h endpoint) {
  char* text = nullptr;
  std::size_t bytes = 0;
  FILE* stream = open_memstream(&text, &bytes);
  if (stream == nullptr) return {};
  ucp_ep_print_info(endpoint, stream);
  static_cast<void>(std::fclose(stream));
  const std::string info(text, bytes);
  std::free(text);

  std::set<std::string> names;
  for (std::size_t at = info.find("lane["); at != std::string::npos;
       at = info.find("lane[", at + 1)) {
    const std::size_t label = info.find("]:", at);
    const std::size_t colon =
        label == std::string::npos ? label : info.find(':', label + 2);
    const std::size_t slash =
        colon == std::string::npos ? colon : info.find('/', colon);
    if (slash == std::string::npos || slash - colon > 32) continue;
    names.insert(info.substr(colon + 1, slash - colon - 1));
  }
  std::string joined;
  for (const auto& name : names) joined += (joined.empty() ? "" : "+") + name;
  return joined;
}

}  // namespace hearsay::transport
