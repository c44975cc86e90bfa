#include "transport/ucx_report.h"

#include <ucp/api/ucp.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <sstream>
#include <stdexcept>

#include "transport/ucx_context.h"

namespace hearsay::transport {
namespace {

// Lines such as "resource 1 : md 1 dev 1 flags -- tcp/lo".
std::vector<std::string> TransportsOf(ucp_context_h context) {
  char* text = nullptr;
  std::size_t bytes = 0;
  FILE* stream = open_memstream(&text, &bytes);
  if (stream == nullptr) return {};
  ucp_context_print_info(context, stream);
  static_cast<void>(std::fclose(stream));
  std::istringstream lines(std::string(text, bytes));
  std::free(text);
  std::vector<std::string> transports;
  for (std::string line; std::getline(lines, line);) {
    const auto at = line.find(" -- ");
    if (line.find("resource") == std::string::npos || at == std::string::npos)
      continue;
    std::string name = line.substr(at + 4);
    name.erase(name.find_last_not_of(" \t") + 1);
    transports.push_back(name);
  }
  return transports;
}

std::vector<std::string> MemoryTypesOf(ucp_context_h context) {
  ucp_context_attr_t attributes{};
  attributes.field_mask = UCP_ATTR_FIELD_MEMORY_TYPES;
  CheckUcx(ucp_context_query(context, &attributes), "ucp_context_query");
  std::vector<std::string> types;
  for (unsigned type = 0; type < UCS_MEMORY_TYPE_LAST; ++type)
    if ((attributes.memory_types & (1ULL << type)) != 0)
      types.emplace_back(ucs_memory_type_names[type]);
  return types;
}

}  // namespace

UcxReport InspectUcx() {
  UcxReport report;
  report.version = ucp_get_version_string();
  try {
    ucp_config_t* config = nullptr;
    CheckUcx(ucp_config_read(nullptr, nullptr, &config), "ucp_config_read");
    const std::unique_ptr<ucp_config_t, decltype(&ucp_config_release)> owner(
        config, &ucp_config_release);
    ucp_params_t params{};
    params.field_mask = UCP_PARAM_FIELD_FEATURES;
    params.features = UCP_FEATURE_AM | UCP_FEATURE_WAKEUP;
    ucp_context_h handle = nullptr;
    CheckUcx(ucp_init(&params, config, &handle), "ucp_init");
    const UcxContext context(handle, &ucp_cleanup);
    report.transports = TransportsOf(handle);
    report.memory_types = MemoryTypesOf(handle);
  } catch (const std::runtime_error& error) {
    report.error = error.what();
  }
  return report;
}

}  // namespace hearsay::transport
